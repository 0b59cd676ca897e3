/**
 * @file A program that a test keeps running on a host: killed, frozen, stopped and started again at will. Its output goes to a log file.
 * Whatever happens to the test process, the program does not outlive it where `setpriv` (util-linux) is there.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from './network.ts';
import { type Cleanup, toolWorks } from './tool.ts';

export interface Program {
  readonly name: string;
  readonly host: Host;
  readonly file: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly logFile: string;
}

/** How a process ended that nobody here had ended. */
export interface UnexpectedEnd {
  readonly name: string;
  readonly how: string;
  /** The last lines of its log. */
  readonly log: string;
}

export interface Running {
  readonly name: string;
  readonly logFile: string;
  /** Undefined while it does not run. */
  pid(): number | undefined;
  start(): void;
  /** Ends it (default SIGKILL) and waits until it is gone; one that does not obey is killed after 20 s. False when it did not run. */
  end(signal?: NodeJS.Signals): Promise<boolean>;
  /** False when it does not run. */
  freeze(): boolean;
  thaw(): void;
}

const END_TIMEOUT_MS = 20_000;
const diesWithUs = toolWorks('setpriv', '--pdeathsig', 'KILL', 'true');

/** Prepares a program; `start` starts it. `onEnd` hears of ends that nobody asked for. */
export function prepareProgram(t: Cleanup, program: Program, onEnd: (end: UnexpectedEnd) => void): Running {
  const { name, host, logFile } = program;
  let child: ChildProcess | undefined;
  let gone: Promise<void> = Promise.resolve();
  let asked = false;
  const signal = (which: NodeJS.Signals): boolean => child?.kill(which) ?? false;
  const end = async (which: NodeJS.Signals = 'SIGKILL'): Promise<boolean> => {
    if (!child) return false;
    asked = true;
    signal(which);
    // A frozen process takes any other signal only when it goes on.
    if (which !== 'SIGKILL') signal('SIGCONT');
    const late = setTimeout(() => signal('SIGKILL'), END_TIMEOUT_MS);
    await gone;
    clearTimeout(late);
    return true;
  };
  t.after(async () => void (await end()));
  return {
    ...{ name, logFile, end },
    pid: () => child?.pid,
    start: () => {
      if (child) throw new Error(`${name} runs already`);
      asked = false;
      const [file, args] = host.command(program.file, program.args);
      const log = openSync(logFile, 'a');
      const started = spawn(diesWithUs ? 'setpriv' : file, diesWithUs ? ['--pdeathsig', 'KILL', file, ...args] : args, {
        stdio: ['ignore', log, log],
        env: { ...process.env, ...program.environment },
      });
      closeSync(log);
      child = started;
      gone = new Promise((resolve) => {
        const done = (how: string): void => {
          if (child !== started) return;
          child = undefined;
          if (!asked) onEnd({ name, how, log: logTail(logFile, 15) });
          resolve();
        };
        started.once('error', (error) => done(error.message));
        started.once('exit', (code, by) => done(by === null ? `exit code ${code}` : `killed by ${by}`));
      });
    },
    freeze: () => signal('SIGSTOP'),
    thaw: () => void signal('SIGCONT'),
  };
}

/** The last lines of a log; nothing where there is none. */
export function logTail(file: string, lines: number): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '';
  }
}

/** Waits until `met` gives a value, asking again and again. @throws Error that says `what` after `timeoutMs` */
export async function waitFor<T>(
  what: string,
  met: () => T | undefined | Promise<T | undefined>,
  timeoutMs: number,
  everyMs = 50,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await met();
    if (value !== undefined) return value;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs / 1000} s`);
    await sleep(everyMs);
  }
}
