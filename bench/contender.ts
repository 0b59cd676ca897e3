/**
 * @file A program under measurement, as a child process: it gets one command a line on stdin and answers each with one
 * line of JSON. Between commands it sleeps, so that two of them can take turns on the same processors.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface Contender {
  /** Sends one command and waits for its answer; rejects when the program ends instead. */
  ask(command: string): Promise<unknown>;
  close(): void;
}

/** `environment` is added to this process's. */
export function startContender(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Contender {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...environment } });
  const lines = createInterface({ input: child.stdout });
  let waiting: { resolve: (answer: unknown) => void; reject: (error: Error) => void } | undefined;
  lines.on('line', (line) => waiting?.resolve(JSON.parse(line)));
  const ended = (error: Error): void => waiting?.reject(error);
  child.once('error', ended);
  child.once('exit', (code) => ended(new Error(`${program} ${args.join(' ')} ended with code ${code}`)));
  child.stdin.on('error', () => {});
  return {
    ask: (command) =>
      new Promise((resolve, reject) => {
        waiting = { resolve, reject };
        child.stdin.write(`${command}\n`);
      }),
    close: () => child.stdin.end(),
  };
}
