/** @file What an import may use before it is refused: a wrong or hostile archive must not fill a hospital's disk. */

export interface Limits {
  /** Largest image file, bytes. Default 64 MiB. */
  readonly fileBytes: number;
  /** Largest archive as downloaded, bytes. Default 32 GiB (the Kaggle archive has 2.3 GiB). */
  readonly archiveBytes: number;
  /** Largest sum of unpacked sizes, bytes. Default 64 GiB. */
  readonly unpackedBytes: number;
  /** Most entries in an archive. Default 500,000. */
  readonly entryCount: number;
  /** Largest unpacked size over packed size of an entry of more than 1 MiB. Default 100; a JPEG has about 1. */
  readonly ratio: number;
  /** A download with no byte for this long is tried again, ms. Default 60,000. */
  readonly idleTimeoutMs: number;
  /** Attempts of a download in a row that may bring nothing new. Default 5. */
  readonly attempts: number;
  /** Pause before the second attempt, ms; doubles up to 30 times itself. Default 1,000. */
  readonly retryDelayMs: number;
}

export const DEFAULT_LIMITS: Limits = {
  fileBytes: 64 * 2 ** 20,
  archiveBytes: 32 * 2 ** 30,
  unpackedBytes: 64 * 2 ** 30,
  entryCount: 500_000,
  ratio: 100,
  idleTimeoutMs: 60_000,
  attempts: 5,
  retryDelayMs: 1_000,
};
