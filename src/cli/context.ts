/** @file What every command needs: the home, and how to print. */
import type { Command } from 'commander';
import { homeFolder } from '../workspace/index.ts';

/** The home that the options and the environment of this command choose. */
export function homeOf(command: Command): string {
  const { home } = command.optsWithGlobals<{ home?: string }>();
  return homeFolder({
    ...(home === undefined ? {} : { home }),
    environment: process.env,
    currentFolder: process.cwd(),
  });
}

/** One JSON value on standard output. */
export const printJson = (value: unknown): void => console.log(JSON.stringify(value, null, 2));

/** Columns aligned with two spaces between; nothing at all for no rows. */
export function table(headers: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headers.map((header, column) =>
    Math.max(header.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd();
  return [headers, ...rows].map(line).join('\n');
}

/** Prints rows as a table, or as JSON when asked. */
export function printRows<Row extends object>(
  rows: readonly Row[],
  columns: Readonly<Record<string, (row: Row) => string>>,
  json: boolean | undefined,
  empty: string,
): void {
  if (json) printJson(rows);
  else if (rows.length === 0) console.log(empty);
  else
    console.log(
      table(
        Object.keys(columns),
        rows.map((row) => Object.values(columns).map((cell) => cell(row))),
      ),
    );
}
