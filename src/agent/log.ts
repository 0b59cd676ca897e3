/** @file The agent's own log: one line for each thing that happens, with its time; for the hospital, nothing of it leaves. */

export type LogLevel = 'info' | 'warn' | 'error';

export interface Log {
  info(text: string, fields?: LogFields): void;
  warn(text: string, fields?: LogFields): void;
  error(text: string, fields?: LogFields): void;
}

export type LogFields = Readonly<Record<string, string | number>>;

export interface LogOptions {
  readonly write: (line: string) => void;
  readonly now: () => Date;
  /** One JSON object a line. */
  readonly json: boolean;
}

export function openLog({ write, now, json }: LogOptions): Log {
  const line = (level: LogLevel, text: string, fields: LogFields): string => {
    const at = now().toISOString();
    if (json) return JSON.stringify({ at, level, text, ...fields });
    const rest = Object.entries(fields).map(([name, value]) => ` ${name}=${value}`);
    return `${at} ${level.padEnd(5)} ${text.replaceAll(/\s*\n\s*/g, ' ')}${rest.join('')}`;
  };
  const at =
    (level: LogLevel) =>
    (text: string, fields: LogFields = {}): void =>
      write(`${line(level, text, fields)}\n`);
  return { info: at('info'), warn: at('warn'), error: at('error') };
}
