/** @file The sections on how well the model does: headline, comparison, curves, mistakes, progress. */
import { bareFigure, figureWithInterval, headerRow, missing, table, valueOr } from './cells.ts';
import { calibrationChart, intervalMark, progressCharts, rocChart, type Styled } from './charts.ts';
import type { Confusion, Evaluation, Figures, PooledEvaluation } from './figures.ts';
import { fraction, interval, percent, plural, whole } from './format.ts';
import { html, type Markup, NOTHING } from './markup.ts';
import { swatch } from './plot.ts';
import { type ComparisonRow, isMissing, type ReportData } from './report-data.ts';

const HOSPITAL_COLOURS = 5;

/** One colour and dash per hospital through the whole report. */
export const hospitalStyle = (data: ReportData, hospital: string): string => {
  const index = data.hospitals.findIndex(({ name }) => name === hospital);
  return `series-s${(Math.max(0, index) % HOSPITAL_COLOURS) + 1}`;
};

const styleOfRow = (data: ReportData, row: ComparisonRow): string =>
  row.kind === 'alone'
    ? hospitalStyle(data, row.hospital)
    : row.kind === 'pooled'
      ? 'series-pooled'
      : row.kind === 'federated-last'
        ? 'series-last'
        : 'series-federated';

type MeasuredRow = ComparisonRow & { evaluation: Evaluation | PooledEvaluation };
const isMeasured = (row: ComparisonRow): row is MeasuredRow => !isMissing(row.evaluation);

/** The model that the report is about: the best federated one, else the last. */
export const subjectOf = (data: ReportData): ComparisonRow | undefined =>
  data.comparison.find(({ kind }) => kind === 'federated-best') ??
  data.comparison.find(({ kind }) => kind === 'federated-last');

/** The four figures that a reader takes along, and what they were measured on. */
export function headline(data: ReportData): Markup {
  const row = subjectOf(data);
  if (!row || !isMeasured(row)) {
    const reason = row && isMissing(row.evaluation) ? row.evaluation.missing : 'the run has no federated model';
    return html`<p>${missing(reason)}</p>`;
  }
  const { evaluation } = row;
  const entry = (name: string, metric: 'auroc' | 'sensitivity' | 'specificity' | 'accuracy'): Markup => {
    const [value, ci95] = [evaluation[metric], evaluation[`${metric}_ci95`]];
    return html`<li><span class="name">${name}</span>${
      value === null
        ? missing(evaluation.notMeasured[metric] ?? 'no reason was given')
        : html`<span class="value">${fraction(value)}</span><span class="ci">${ci95 ? `95 % ${interval(ci95)}` : ''}</span>`
    }</li>`;
  };
  return html`<ul class="headline">${entry('AUROC', 'auroc')}${entry('Sensitivity', 'sensitivity')}${entry('Specificity', 'specificity')}${entry('Accuracy', 'accuracy')}</ul>
<p class="lead">${row.label}, on ${plural(evaluation.n, 'test image')} of ${plural(evaluation.patients, 'patient')} from ${plural('silos' in evaluation ? evaluation.silos : data.hospitals.length, 'hospital')}; ${whole(evaluation.positives)} of the images (${percent(evaluation.positives, evaluation.n)}) are labelled pneumonia. An image is called pneumonia where its predicted probability is at least ${Number(evaluation.threshold.toPrecision(4))}.</p>`;
}

/** All models on the same test images. */
export function comparison(data: ReportData): Markup {
  const measured = data.comparison.filter(isMeasured);
  const edges = measured.flatMap(({ evaluation }) => evaluation.auroc_ci95 ?? []);
  const low = Math.min(1, Math.floor(Math.min(...edges) * 20) / 20);
  const high = Math.max(0, Math.ceil(Math.max(...edges) * 20) / 20);
  const subject = subjectOf(data);
  const rows = data.comparison.map((row) => {
    const style = styleOfRow(data, row);
    const name = html`<th scope="row">${swatch(style)}${row.label}</th>`;
    if (!isMeasured(row))
      return html`<tr>${name}<td colspan="6" class="text">${valueOr(row.evaluation, () => '')}</td></tr>`;
    const { evaluation } = row;
    const { auroc, auroc_ci95: ci95 } = evaluation;
    const mark = auroc !== null && ci95 ? intervalMark(auroc, ci95, low, high, style) : NOTHING;
    return html`<tr class="${row === subject ? 'subject' : ''}">${name}<td>${figureWithInterval(evaluation, 'auroc')}</td><td class="mark-cell">${mark}</td><td>${figureWithInterval(evaluation, 'sensitivity')}</td><td>${figureWithInterval(evaluation, 'specificity')}</td><td>${bareFigure(evaluation, 'accuracy')}</td><td>${whole(evaluation.n)}</td></tr>`;
  });
  const scale = edges.length > 0 ? `AUROC, ${low.toFixed(2)} to ${high.toFixed(2)}` : '';
  const head = headerRow([
    'Model',
    'AUROC [95\u00a0%]',
    scale,
    'Sensitivity [95\u00a0%]',
    'Specificity [95\u00a0%]',
    'Accuracy',
    'Images',
  ]);
  const sizes = new Set(measured.map(({ evaluation }) => evaluation.n));
  return html`${table('Each model on the test images of all hospitals.', head, rows)}${
    sizes.size > 1
      ? html`<p class="banner">The rows were not measured on the same number of images, so they cannot be compared directly.</p>`
      : NOTHING
  }<p class="lead">Intervals: 95 %, from a bootstrap within each hospital and label that allows for several images of one patient.</p>${withinHospitals(subject)}`;
}

/** AUROC without pairs across hospitals: a model that tells hospitals apart cannot hide in it. */
function withinHospitals(row: ComparisonRow | undefined): Markup {
  if (!row || !isMeasured(row) || !('aurocWithinSilos' in row.evaluation)) return NOTHING;
  const { auroc, aurocWithinSilos: within } = row.evaluation;
  if (auroc === null || within === null) return NOTHING;
  return html`<p class="lead">When patients are compared only with patients of the same hospital, the federated model’s AUROC is ${fraction(within)}, against ${fraction(auroc)} over all. Were it clearly lower, the model would in part be telling hospitals apart (Zech et al., PLoS Medicine, 2018).</p>`;
}

/** ROC curves of the compared models and the calibration of the subject, side by side. */
export function curves(data: ReportData): Markup {
  const subject = subjectOf(data);
  const models = data.comparison
    .filter((row): row is MeasuredRow => isMeasured(row) && (row.kind !== 'federated-last' || row === subject))
    .map((row) => ({ label: row.label, style: styleOfRow(data, row), evaluation: row.evaluation }));
  if (models.length === 0) return html`<p>${missing('no model was evaluated')}</p>`;
  const calibration =
    subject && isMeasured(subject)
      ? calibrationChart(
          { label: subject.label, style: 'series-federated' },
          subject.evaluation.calibration,
          subject.evaluation.ece,
        )
      : NOTHING;
  return html`<div class="pair">${rocChart(models)}${calibration}</div>`;
}

/** Right and wrong calls, of all hospitals and of each. */
export function mistakes(data: ReportData): Markup {
  const subject = subjectOf(data);
  const all = subject && isMeasured(subject) ? [matrix('All hospitals', subject.evaluation.confusion)] : [];
  const each = data.hospitals.map(({ name, test }) =>
    isMissing(test) ? html`<div><h3>${name}</h3>${missing(test.missing)}</div>` : matrix(name, test.confusion),
  );
  return html`<div class="matrices">${[...all, ...each]}</div>${
    subject && isMeasured(subject) ? predictive(subject.evaluation) : NOTHING
  }`;
}

/** What a call is worth at this prevalence, and the scores that judge probabilities. */
const predictive = (figures: Figures): Markup =>
  html`<dl class="facts aside"><dt>Positive predictive value</dt><dd>${predictiveValue(figures, 'ppv', 'of images called pneumonia, recorded as pneumonia')}</dd>
<dt>Negative predictive value</dt><dd>${predictiveValue(figures, 'npv', 'of images called normal, recorded as normal')}</dd>
<dt>Brier score</dt><dd>${bareFigure(figures, 'brier')} <span class="unit">mean squared error of the probability; 0 is best</span></dd>
<dt>Log loss</dt><dd>${bareFigure(figures, 'logLoss')} <span class="unit">nats per image; 0 is best</span></dd></dl>`;

const predictiveValue = (figures: Figures, name: 'ppv' | 'npv', unit: string): Markup =>
  figures[name] === null
    ? bareFigure(figures, name)
    : html`${bareFigure(figures, name)} <span class="unit">${unit}</span>`;

function matrix(name: string, { tp, fp, tn, fn }: Confusion): Markup {
  const cell = (count: number, all: number): Markup =>
    html`<td style="background:rgba(var(--cell),${all === 0 ? 0 : (0.04 + (0.36 * count) / all).toFixed(3)})"><b>${whole(count)}</b><span class="unit">${percent(count, all)}</span></td>`;
  return html`<table class="matrix"><caption>${name}</caption><thead><tr><th scope="col" class="text">Recorded</th><th scope="col">Called normal</th><th scope="col">Called pneumonia</th></tr></thead><tbody><tr><th scope="row">Normal</th>${cell(tn, tn + fp)}${cell(fp, tn + fp)}</tr><tr><th scope="row">Pneumonia</th>${cell(fn, tp + fn)}${cell(tp, tp + fn)}</tr></tbody></table>`;
}

/** The aggregated model on validation images, iteration by iteration. */
export function progress(data: ReportData): Markup {
  if (data.iterations.length === 0) return html`<p>${missing('no iteration was evaluated')}</p>`;
  return progressCharts(
    data.iterations,
    (hospital): Styled =>
      hospital === null
        ? { label: 'All hospitals', style: 'series-federated' }
        : { label: hospital, style: hospitalStyle(data, hospital) },
  );
}
