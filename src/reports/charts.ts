/** @file The charts of the report: ROC, calibration, progress over iterations, and an interval drawn in a table cell. */
import { missing } from './cells.ts';
import type { CalibrationBin, Evaluation, Interval } from './figures.ts';
import { fraction, interval } from './format.ts';
import { proportionInterval } from './intervals.ts';
import { html, type Markup, NOTHING } from './markup.ts';
import { type Axis, drawPlot, niceAxis, type Series, swatch } from './plot.ts';
import type { IterationPoint } from './report-data.ts';

/** A named model or hospital and the CSS class of its colour. */
export interface Styled {
  readonly label: string;
  readonly style: string;
}

const ROC = 'ROC curves, all test images';
const CALIBRATION = 'Calibration, with 95 % intervals';

const unitAxis = (label: string): Axis => ({ label, min: 0, max: 1, ticks: [0, 0.2, 0.4, 0.6, 0.8, 1], digits: 1 });

/** A figure: a drawing with its caption and legend. */
const figure = (caption: string, drawing: Markup, legend: readonly Markup[]): Markup =>
  html`<figure><figcaption>${caption}</figcaption>${drawing}${
    legend.length > 0 ? html`<ul class="legend">${legend}</ul>` : NOTHING
  }</figure>`;

const legendEntry = ({ label, style }: Styled, note = ''): Markup =>
  html`<li>${swatch(style)}<span>${label}</span>${note ? html` <span class="figure">${note}</span>` : NOTHING}</li>`;

/** ROC curves of several models on the same images. */
export function rocChart(models: readonly (Styled & { evaluation: Evaluation })[]): Markup {
  const drawn = models.filter(({ evaluation }) => evaluation.auroc !== null);
  if (drawn.length === 0) {
    return figure(ROC, missing(models[0]?.evaluation.notMeasured.auroc ?? 'no model was evaluated'), []);
  }
  const description = drawn.map(({ label, evaluation }) => `${label}: AUROC ${fraction(evaluation.auroc!)}`).join('; ');
  const plot = drawPlot({
    id: 'roc',
    title: 'ROC curves',
    description: `True positive rate against false positive rate. ${description}.`,
    x: unitAxis('False positive rate (1 − specificity)'),
    y: unitAxis('True positive rate (sensitivity)'),
    // The first model is the report's subject: drawn last, it lies on top.
    series: drawn
      .map(({ label, style, evaluation }) => ({ label, style, points: evaluation.roc, dots: false }))
      .toReversed(),
    diagonal: true,
    height: 420,
  });
  return figure(
    ROC,
    plot,
    drawn.map((model) => legendEntry(model, `AUROC ${fraction(model.evaluation.auroc!)}`)),
  );
}

/** Predicted probability against what was found, with Wilson's 95 % interval of each bin. */
export function calibrationChart(model: Styled, bins: readonly CalibrationBin[], ece: number | null): Markup {
  if (bins.length === 0) return figure(CALIBRATION, missing('there are no test images'), []);
  const points = bins.map(({ n, positives, meanProbability }) => [meanProbability, positives / n] as const);
  const bars = bins.map(({ n, positives, meanProbability }) => {
    const [low, high] = proportionInterval(positives / n, n);
    return [meanProbability, low, high] as const;
  });
  const text = bins.map(
    ({ n, positives, meanProbability }) =>
      `${fraction(meanProbability)} predicted, ${fraction(positives / n)} found in ${n}`,
  );
  const plot = drawPlot({
    id: 'calibration',
    title: 'Calibration curve',
    description: `Mean predicted probability and fraction with pneumonia, per bin: ${text.join('; ')}.`,
    x: unitAxis('Predicted probability of pneumonia'),
    y: unitAxis('Fraction with pneumonia'),
    series: [{ ...model, points, dots: true, bars }],
    diagonal: true,
    height: 420,
  });
  return figure(CALIBRATION, plot, [legendEntry(model, ece === null ? '' : `calibration error ${fraction(ece)}`)]);
}

/** Validation figures of the aggregated model over iterations, per hospital and of all. */
export function progressCharts(
  points: readonly IterationPoint[],
  styleOf: (hospital: string | null) => Styled,
): Markup {
  const names = [...new Set(points.map(({ hospital }) => hospital))].sort(
    (a, b) => Number(a !== null) - Number(b !== null),
  );
  const last = Math.max(...points.map(({ iteration }) => iteration));
  const draw = (metric: 'auroc' | 'loss', caption: string, axis: (values: number[]) => Axis): Markup => {
    const series = names.map((name): Series => {
      const own = points.filter((point) => point.hospital === name && point[metric] !== null);
      const placed = own.map((point) => [point.iteration, point[metric]!] as const).sort((a, b) => a[0] - b[0]);
      return { ...styleOf(name), points: placed, dots: last <= 30 };
    });
    const values = series.flatMap((one) => one.points.map(([, y]) => y));
    if (values.length === 0) return figure(caption, missing('no iteration has it'), []);
    const ends = series
      .filter((one) => one.points.length > 0)
      .map(({ label, points: own }) => `${label}: ${fraction(own.at(-1)![1])}`);
    const plot = drawPlot({
      id: `progress-${metric}`,
      title: caption,
      description: `By iteration, 1 to ${last}. At the end: ${ends.join('; ')}.`,
      x: iterationAxis(last),
      y: axis(values),
      series: series.toReversed(),
      diagonal: false,
      height: 290,
    });
    return figure(
      caption,
      plot,
      series.map((one) =>
        legendEntry(one, one.points.length > 0 ? `last ${fraction(one.points.at(-1)![1])}` : 'not measured'),
      ),
    );
  };
  return html`<div class="pair">${draw('auroc', 'Validation AUROC', (values) => niceAxis('AUROC', Math.min(0.9, ...values), 1))}${draw(
    'loss',
    'Validation loss',
    (values) => niceAxis('Cross-entropy (nats)', 0, Math.max(...values)),
  )}</div>`;
}

function iterationAxis(last: number): Axis {
  const stride = Math.ceil(last / 10);
  const ticks = Array.from({ length: Math.ceil(last / stride) }, (_, i) => 1 + i * stride);
  return { label: 'Iteration', min: last === 1 ? 0 : 1, max: last === 1 ? 2 : last, ticks, digits: 0 };
}

/** An estimate and its interval on a scale from `low` to `high`, to sit in a table cell. */
export function intervalMark(value: number, ci95: Interval, low: number, high: number, style: string): Markup {
  const at = (x: number): string => String(Math.round(40 + ((x - low) / (high - low || 1)) * 1520) / 10);
  return html`<svg class="mark ${style}" viewBox="0 0 160 16" role="img" aria-label="${fraction(value)} ${interval(ci95)}"><path class="scale" d="M4 8L156 8"/><path class="whisker" d="M${at(ci95[0])} 8L${at(ci95[1])} 8"/><circle cx="${at(value)}" cy="8" r="4"/></svg>`;
}
