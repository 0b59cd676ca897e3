/** @file Small pieces of the report that several sections use: missing values, figures with intervals, lists of facts. */
import type { Figures, IntervalMetric } from './figures.ts';
import { fraction, interval } from './format.ts';
import { html, type Markup, NOTHING } from './markup.ts';
import { type Fact, isMissing, type Missing } from './report-data.ts';

/** "not measured", and why. */
export const missing = (reason: string): Markup => html`<span class="missing">not measured: ${reason}</span>`;

/** A value, or why it is missing. */
export const valueOr = <T>(value: T | Missing, show: (value: T) => Markup | string): Markup =>
  isMissing(value) ? missing(value.missing) : html`${show(value)}`;

/** 0.972 [0.958, 0.984], or why not. */
export function figureWithInterval(figures: Figures, metric: IntervalMetric): Markup {
  const [value, ci95] = [figures[metric], figures[`${metric}_ci95`]];
  if (value === null) return missing(figures.notMeasured[metric] ?? 'no reason was given');
  return html`${fraction(value)}${ci95 ? html` <span class="ci">${interval(ci95)}</span>` : NOTHING}`;
}

/** A figure without an interval, or why not. */
export const bareFigure = (figures: Figures, name: 'accuracy' | 'ppv' | 'npv' | 'brier' | 'logLoss'): Markup => {
  const value = figures[name];
  return value === null ? missing(figures.notMeasured[name] ?? 'no reason was given') : html`${fraction(value)}`;
};

/** Names and values. */
export const factList = (facts: readonly Fact[]): Markup =>
  html`<dl class="facts">${facts.map(({ name, value }) => html`<dt>${name}</dt><dd>${valueOr(value, String)}</dd>`)}</dl>`;

/** A table that scrolls by itself where the page is narrow. */
export const table = (caption: string, head: Markup, body: readonly Markup[]): Markup =>
  html`<div class="scroll"><table><caption>${caption}</caption><thead>${head}</thead><tbody>${body}</tbody></table></div>`;

/** A row of column headers; those of `text` columns align left. */
export const headerRow = (names: readonly string[], text: readonly number[] = [0]): Markup =>
  html`<tr>${names.map((name, i) => html`<th scope="col" class="${text.includes(i) ? 'text' : ''}">${name}</th>`)}</tr>`;
