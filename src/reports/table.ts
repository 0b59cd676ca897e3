/** @file The comparison as plain text, for the terminal. */

import type { Figures, IntervalMetric } from './figures.ts';
import { fraction, interval, whole } from './format.ts';
import { isMissing, type Missing } from './report-data.ts';

/** A row: any model with its figures; the rows of `ReportData.comparison` are such rows. */
export interface ComparedModel {
  readonly label: string;
  readonly evaluation: Figures | Missing;
}

const HEADER = ['model', 'AUROC [95 %]', 'sensitivity [95 %]', 'specificity [95 %]', 'accuracy', 'images'];

/**
 * The comparison as a table with aligned columns, lines separated by newlines, without a last one. What was not
 * measured is "-" and its reason follows the table.
 */
export function comparisonTable(rows: readonly ComparedModel[]): string {
  const notes: string[] = [];
  const lines = rows.map(({ label, evaluation }) => {
    if (isMissing(evaluation)) {
      notes.push(`${label}: not measured: ${evaluation.missing}`);
      return [label, '-', '-', '-', '-', '-'];
    }
    const cell = (metric: IntervalMetric): string => {
      const [value, ci95] = [evaluation[metric], evaluation[`${metric}_ci95`]];
      if (value === null) {
        notes.push(`${label}: ${metric} not measured: ${evaluation.notMeasured[metric] ?? 'no reason was given'}`);
        return '-';
      }
      return ci95 ? `${fraction(value)} ${interval(ci95)}` : fraction(value);
    };
    const accuracy = evaluation.accuracy === null ? '-' : fraction(evaluation.accuracy);
    return [label, cell('auroc'), cell('sensitivity'), cell('specificity'), accuracy, whole(evaluation.n)];
  });
  const table = [HEADER, ...lines];
  const widths = HEADER.map((_, column) => Math.max(...table.map((line) => line[column]!.length)));
  const aligned = table.map((line) =>
    line
      // Names and intervals read from the left, bare numbers align on the right.
      .map((text, column) => (column < 4 ? text.padEnd(widths[column]!) : text.padStart(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
  return [...aligned, ...notes].join('\n');
}
