/**
 * @file Downloads one large file over HTTP to disk: streamed, with an idle timeout instead of a total one, retried, and
 * resumed by Range (RFC 9110, section 14) where the server names the version it sends. Credentials go to the first
 * host only: not to a host it redirects to, and into no message.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FedradError, fail, messageOf } from '../base/index.ts';
import { failDiskFull, freeBytes, isDiskFull } from './disk.ts';
import type { Limits } from './limits.ts';

export interface Download {
  readonly url: string;
  /** File to write. */
  readonly file: string;
  /** What to call the download in errors. */
  readonly where: string;
  /** Value of the Authorization header. */
  readonly authorization: string | undefined;
  readonly limits: Limits;
  /** Turns a final HTTP status (400 and above, not worth another attempt) into the error to throw. */
  readonly refused: (status: number) => never;
  /** Bytes so far and in total (0 when the server does not say). */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

/** What has been downloaded so far. */
interface Progress {
  bytes: number;
  /** Strong ETag of the bytes so far; without one they cannot be continued. */
  etag: string | undefined;
}

/** Statuses that another attempt may cure. */
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504]);
const MOST_REDIRECTS = 10;

/** Downloads to a file. Throws one clear line on refusal, on a full disk, and when all attempts failed. */
export async function download(request: Download): Promise<void> {
  const { where, limits, file } = request;
  await using handle = await open(file, 'w');
  const progress: Progress = { bytes: 0, etag: undefined };
  let furthest = 0;
  let fruitless = 0;
  for (;;) {
    try {
      await attempt(request, handle, progress);
      return;
    } catch (error) {
      if (error instanceof FedradError) throw error;
      if (isDiskFull(error)) await failDiskFull(where, dirname(file), `more than ${progress.bytes}`, error);
      fruitless = progress.bytes > furthest ? 0 : fruitless + 1;
      furthest = Math.max(furthest, progress.bytes);
      if (fruitless >= limits.attempts) {
        const reason = error instanceof Error && error.cause ? messageOf(error.cause) : messageOf(error);
        fail(
          where,
          `download failed ${fruitless} times in a row at byte ${progress.bytes}: ${reason}`,
          'check the network and try again',
          error,
        );
      }
      await sleep(limits.retryDelayMs * Math.min(2 ** fruitless, 30));
    }
  }
}

async function attempt(request: Download, handle: FileHandle, progress: Progress): Promise<void> {
  const { where, limits, file, onProgress } = request;
  const abort = new AbortController();
  const idle = setTimeout(
    () => abort.abort(new Error(`no byte for ${limits.idleTimeoutMs / 1000} s`)),
    limits.idleTimeoutMs,
  );
  try {
    const response = await get(request, progress, abort.signal);
    if (PASSING.has(response.status)) throw new Error(`HTTP status ${response.status}`);
    if (progress.bytes > 0 && !resumes(response, progress)) {
      progress.bytes = 0;
      await handle.truncate(0);
    }
    if (response.status === 416) throw new Error('the file changed on the server');
    if (response.status >= 400) request.refused(response.status);
    progress.etag = strongEtag(response);

    const length = response.headers.get('content-length');
    const totalBytes = length === null ? 0 : progress.bytes + Number(length);
    if (totalBytes > limits.archiveBytes) failTooLarge(where, limits);
    const missingBytes = totalBytes - progress.bytes;
    if (missingBytes > (await freeBytes(dirname(file)))) await failDiskFull(where, dirname(file), `${missingBytes}`);

    for await (const chunk of response.body ?? []) {
      idle.refresh();
      for (let written = 0; written < chunk.length; ) {
        const { bytesWritten } = await handle.write(chunk, written, chunk.length - written, progress.bytes);
        written += bytesWritten;
        progress.bytes += bytesWritten;
      }
      if (progress.bytes > limits.archiveBytes) failTooLarge(where, limits);
      onProgress?.(progress.bytes, totalBytes);
    }
    if (totalBytes > 0 && progress.bytes !== totalBytes) {
      throw new Error(`connection ended at byte ${progress.bytes} of ${totalBytes}`);
    }
  } catch (error) {
    throw abort.signal.aborted ? abort.signal.reason : error;
  } finally {
    clearTimeout(idle);
    abort.abort();
  }
}

/** GET with redirects followed by hand, so that the credentials stay with the origin they are for. */
async function get(
  { url, where, authorization }: Download,
  { bytes, etag }: Progress,
  signal: AbortSignal,
): Promise<Response> {
  const first = new URL(url);
  let target = first;
  for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
    const response = await fetch(target, {
      redirect: 'manual',
      signal,
      headers: {
        'accept-encoding': 'identity',
        ...(authorization !== undefined && target.origin === first.origin ? { authorization } : {}),
        ...(bytes > 0 && etag !== undefined ? { range: `bytes=${bytes}-`, 'if-range': etag } : {}),
      },
    });
    const location = response.headers.get('location');
    if (response.status < 300 || response.status >= 400 || location === null) return response;
    await response.body?.cancel();
    const next = new URL(location, target);
    if (target.protocol === 'https:' && next.protocol !== 'https:') {
      fail(
        where,
        `${target.host} redirects from https to ${next.protocol}//${next.host}`,
        'not followed; check the address',
      );
    }
    target = next;
  }
  return fail(where, `more than ${MOST_REDIRECTS} redirects from ${first.host}`, 'check the address');
}

/** Whether this response continues the bytes we hold. */
const resumes = (response: Response, { bytes }: Progress): boolean =>
  response.status === 206 && response.headers.get('content-range')?.startsWith(`bytes ${bytes}-`) === true;

const strongEtag = (response: Response): string | undefined => {
  const etag = response.headers.get('etag');
  return etag?.startsWith('"') ? etag : undefined;
};

const failTooLarge = (where: string, { archiveBytes }: Limits): never =>
  fail(where, `the archive is larger than the limit of ${archiveBytes} bytes`, 'check the data set name');
