/**
 * @file One attempt of one step as a child process: started in its sandbox, listened to line by line, ended with the run.
 *
 * The child's standard input stays open as long as this process lives; when it closes, the child stops. So a step never outlives
 * a runner that was killed.
 */
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { FULL_DISK, messageOf, printable } from '../../base/index.ts';
import { eachLine, messageIn, openStepLog, REFUSED, type StepMessage } from '../../components/index.ts';
import type { Command } from './sandbox.ts';

export interface AttemptOptions {
  readonly command: Command;
  readonly secrets: Readonly<Record<string, string>>;
  readonly logFile: string;
  /** The step is stopped when it says nothing for so long. */
  readonly idleTimeoutMs: number;
  readonly signal: AbortSignal;
  readonly onMessage: (message: StepMessage) => void;
}

export type AttemptResult =
  | { readonly kind: 'completed' }
  /** Trying again would give the same: bad input, refused credentials, no space. */
  | { readonly kind: 'refused'; readonly error: string; readonly logTail: string[] }
  | { readonly kind: 'crashed'; readonly error: string; readonly logTail: string[] }
  | { readonly kind: 'aborted' };

const LOG_TAIL_LINES = 12;
const LOG_BYTES_LIMIT = 50_000_000;

/** Runs the command to its end. Never throws for what the child does. */
export async function runAttempt(options: AttemptOptions): Promise<AttemptResult> {
  const { command, signal } = options;
  if (signal.aborted) return { kind: 'aborted' };
  const log = createWriteStream(options.logFile, { flags: 'a' });
  const tail: string[] = [];
  /** What went wrong on this side: a full disk, a history that cannot be written. */
  let ownError: unknown;
  const textOf = openStepLog();
  let logBytes = 0;
  const write = (text: string): void => {
    const line = printable(text);
    logBytes += line.length;
    if (logBytes < LOG_BYTES_LIMIT) log.write(`${line}\n`);
    tail.push(line);
    if (tail.length > LOG_TAIL_LINES) tail.shift();
  };

  const child = spawnChild(command);
  if (child instanceof Error) return { kind: 'refused', error: messageOf(child), logTail: [] };
  const kill = (): void => void child.kill('SIGKILL');
  const giveUp = (error: unknown): void => {
    ownError ??= error;
    kill();
  };
  log.on('error', giveUp);
  let idle = false;
  const idleTimer = setTimeout(() => {
    idle = true;
    kill();
  }, options.idleTimeoutMs);
  signal.addEventListener('abort', kill);
  // The child may end before it has read this; its exit code tells what happened.
  child.stdin.on('error', () => {});
  child.stdin.write(`${JSON.stringify(options.secrets)}\n`);

  const listen = (stream: Readable, handle: (line: string) => void): Promise<void> =>
    eachLine(stream, (line) => {
      idleTimer.refresh();
      try {
        handle(line);
      } catch (error) {
        giveUp(error);
      }
    });
  const heard = [
    listen(child.stdout, (line) => {
      const message = messageIn(line);
      if (message) options.onMessage(message);
      const text = message ? textOf(message) : line;
      if (text !== undefined) write(text);
    }),
    listen(child.stderr, write),
  ];
  const exit = await new Promise<{ code: number | null; text: string }>((resolve) => {
    child.once('error', (error) => resolve({ code: null, text: error.message }));
    child.once('exit', (code, by) => resolve({ code, text: by ? `killed by ${by}` : `exit code ${code}` }));
  });
  clearTimeout(idleTimer);
  signal.removeEventListener('abort', kill);
  await Promise.all(heard);
  log.end();
  await finished(log).catch(giveUp);

  if (ownError !== undefined) return { kind: 'refused', error: ownErrorText(ownError), logTail: tail };
  if (signal.aborted) return { kind: 'aborted' };
  if (exit.code === 0) return { kind: 'completed' };
  if (idle) return { kind: 'crashed', error: `said nothing for ${options.idleTimeoutMs / 1000} s`, logTail: tail };
  return exit.code === REFUSED
    ? { kind: 'refused', error: tail.at(-1) ?? exit.text, logTail: tail }
    : { kind: 'crashed', error: exit.text, logTail: tail };
}

function spawnChild({ file, args, env }: Command) {
  try {
    return spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], env });
  } catch (error) {
    // A command line that the system refuses.
    return error instanceof Error ? error : new Error(String(error));
  }
}

const ownErrorText = (error: unknown): string =>
  error instanceof Error && 'code' in error && error.code === 'ENOSPC'
    ? `log of the step: ${FULL_DISK}; free some space, then fedrad run resume`
    : messageOf(error);
