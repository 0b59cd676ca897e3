/** @file The sections on where the figures come from: data, settings, time, hashes, limits, how to repeat. */
import { bareFigure, factList, figureWithInterval, headerRow, missing, table, valueOr } from './cells.ts';
import { duration, whole } from './format.ts';
import { LIMITS, SYNTHETIC_LIMIT } from './limits.ts';
import { html, type Markup, NOTHING } from './markup.ts';
import { swatch } from './plot.ts';
import { type Fact, type HospitalData, isMissing, type ReportData } from './report-data.ts';
import { hospitalStyle } from './results.ts';

/** The model on each hospital's own test images, the images and patients there, and what was set aside. */
export function hospitals(data: ReportData): Markup {
  if (data.hospitals.length === 0) return html`<p>${missing('the run names no hospital')}</p>`;
  return html`<h3>The federated model on each hospital’s own test images</h3>${testTable(data)}
<h3>Images and patients</h3>${splitTable(data)}
<h3>Images used, and why not the rest</h3>${intakeTable(data)}`;
}

const rowName = (data: ReportData, { name }: HospitalData): Markup =>
  html`<th scope="row">${swatch(hospitalStyle(data, name))}${name}</th>`;

function testTable(data: ReportData): Markup {
  const rows = data.hospitals.map((hospital) => {
    const [name, { test }] = [rowName(data, hospital), hospital];
    if (isMissing(test)) return html`<tr>${name}<td colspan="6" class="text">${missing(test.missing)}</td></tr>`;
    return html`<tr>${name}<td>${figureWithInterval(test, 'auroc')}</td><td>${figureWithInterval(test, 'sensitivity')}</td><td>${figureWithInterval(test, 'specificity')}</td><td>${bareFigure(test, 'accuracy')}</td><td>${whole(test.n)}</td><td>${whole(test.patients)}</td></tr>`;
  });
  const intervals = ['AUROC', 'Sensitivity', 'Specificity'].map((metric) => `${metric} [95\u00a0%]`);
  const head = headerRow(['Hospital', ...intervals, 'Accuracy', 'Images', 'Patients']);
  return table('Intervals: bootstrap over that hospital’s patients.', head, rows);
}

function splitTable(data: ReportData): Markup {
  const splits = [...new Set(data.hospitals.flatMap((hospital) => hospital.splits.map(({ split }) => split)))];
  const groups = splits.map((split) => html`<th scope="colgroup" colspan="3" class="group">${split}</th>`);
  const columns = splits.map(
    () => html`<th scope="col" class="group">Normal</th><th scope="col">Pneumonia</th><th scope="col">Patients</th>`,
  );
  const head = html`<tr><th scope="col" rowspan="2" class="text">Hospital</th>${groups}</tr><tr>${columns}</tr>`;
  const rows = data.hospitals.map((hospital) => {
    const cells = splits.map((split) => {
      const own = hospital.splits.find((one) => one.split === split);
      return own
        ? html`<td class="group">${whole(own.normal)}</td><td>${whole(own.pneumonia)}</td><td>${whole(own.patients)}</td>`
        : html`<td colspan="3" class="group"><span class="missing">none</span></td>`;
    });
    return html`<tr>${rowName(data, hospital)}${cells}</tr>`;
  });
  return table('Images by split and label, and the patients they are of.', head, rows);
}

function intakeTable(data: ReportData): Markup {
  const rows = data.hospitals.map((hospital) => {
    const [name, { intake }] = [rowName(data, hospital), hospital];
    if (isMissing(intake)) return html`<tr>${name}<td colspan="3" class="text">${missing(intake.missing)}</td></tr>`;
    const reasons = intake.setAside.map(({ reason, images }) => `${reason} (${whole(images)})`).join('; ') || '–';
    return html`<tr>${name}<td>${whole(intake.used)}</td><td>${whole(intake.offered)}</td><td class="text wrap">${reasons}</td></tr>`;
  });
  const head = headerRow(['Hospital', 'Used', 'Of', 'Set aside'], [0, 3]);
  return table('Each image that was offered is either used or set aside for a reason.', head, rows);
}

/** Settings of training, privacy and seeds. */
export function settings(data: ReportData): Markup {
  const seeds: Fact[] = data.seeds.map(({ name, value }) => ({ name, value }));
  return html`<div class="pair"><div><h3>Training</h3>${factList(data.training)}</div><div><h3>Privacy</h3>${
    isMissing(data.privacy) ? html`<p class="missing">${data.privacy.missing}</p>` : factList(data.privacy)
  }<h3>Seeds</h3>${factList(seeds)}</div></div>`;
}

/** Where the steps ran and how long they took. */
export function execution(data: ReportData): Markup {
  const { sandbox, kernels, machine } = data.execution;
  const facts = factList([
    { name: 'Sandbox', value: sandbox },
    { name: 'Kernels', value: kernels },
    { name: 'Machine', value: machine },
  ]);
  if (data.steps.length === 0) return html`${facts}<p>${missing('no step was recorded')}</p>`;
  const rows = data.steps.map(
    ({ step, hospital, runs, wallSeconds, cpuSeconds }) =>
      html`<tr><th scope="row">${step}</th><td class="text">${hospital ?? 'orchestrator'}</td><td>${whole(runs)}</td><td>${valueOr(wallSeconds, duration)}</td><td>${valueOr(cpuSeconds, duration)}</td></tr>`,
  );
  return html`${facts}${table(
    'Time by step, summed over its runs. Steps of different hospitals run side by side.',
    headerRow(['Step', 'Where', 'Runs', 'Wall time', 'CPU time'], [0, 1]),
    rows,
  )}`;
}

/** What identifies the run's inputs and outputs. */
export function provenance(data: ReportData): Markup {
  const { model, initialModel, graph, manifests } = data.hashes;
  const named = [
    { name: 'Model', sha256: model },
    { name: 'Initial model', sha256: initialModel },
    { name: 'Graph of steps', sha256: graph },
    ...manifests.map(({ hospital, sha256 }) => ({ name: `Data of ${hospital}`, sha256 })),
  ];
  return html`<h3>SHA-256</h3><dl class="facts">${named.map(
    ({ name, sha256 }) =>
      html`<dt>${name}</dt><dd>${valueOr(sha256, (hash) => html`<span class="hash">${hash}</span>`)}</dd>`,
  )}</dl><h3>Software</h3>${factList(data.software.map(({ name, version }) => ({ name, value: version })))}`;
}

/** What the figures do not show. */
export const limits = (data: ReportData): Markup =>
  html`<ul class="plain">${[...(data.synthetic ? [SYNTHETIC_LIMIT] : []), ...LIMITS, ...data.limits].map((limit) => html`<li>${limit}</li>`)}</ul>`;

/** The command that makes this run again. */
export const repetition = ({ repeat }: ReportData): Markup =>
  html`<pre><code>${repeat.command}</code></pre>${repeat.note ? html`<p>${repeat.note}</p>` : NOTHING}`;
