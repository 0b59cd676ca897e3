/**
 * @file One error type for everything a user can mend.
 *
 * A message says where, what is wrong (expected and got) and what to do, on one line. Anything else that is
 * thrown is a defect of fedrad and keeps its stack trace.
 */

export interface Problem {
  /** The thing that is wrong, as the user named it: `config.yaml: federated_learning.silos[1].datastore`. */
  readonly where: string;
  /** What was expected and what came. */
  readonly problem: string;
  /** The next thing to do or to type. */
  readonly remedy?: string;
  readonly cause?: unknown;
}

export class FedradError extends Error {
  override readonly name = 'FedradError';
  readonly where: string;
  readonly problem: string;
  readonly remedy: string | undefined;

  constructor({ where, problem, remedy, cause }: Problem) {
    super(`${where}: ${problem}${remedy === undefined ? '' : ` (${remedy})`}`, { cause });
    this.where = where;
    this.problem = problem;
    this.remedy = remedy;
  }
}

/** Throws a {@link FedradError} with these words. */
export const fail = (where: string, problem: string, remedy?: string, cause?: unknown): never => {
  throw new FedradError({ where, problem, ...(remedy === undefined ? {} : { remedy }), cause });
};

/** The message of anything that was thrown, on one line. */
export const messageOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).replaceAll(/\s*\n\s*/g, ' ');

/** The text without the control characters that a terminal would obey. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must go
export const printable = (text: string): string => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '');

/** What every error says whose cause is a full disk, however it travels. */
export const FULL_DISK = 'the disk is full';
