/**
 * @file The evidence report: one HTML file that needs no network, no script and no other file, in light, dark and
 * on paper. Everything that comes from outside is text, never markup; a content security policy holds that too.
 */
import { fail } from '../base/index.ts';
import { factList } from './cells.ts';
import { execution, hospitals, limits, provenance, repetition, settings } from './evidence.ts';
import { duration, instant } from './format.ts';
import { html, type Markup, NOTHING } from './markup.ts';
import { type Fact, isMissing, type ReportData, reportDataSchema } from './report-data.ts';
import { comparison, curves, headline, mistakes, progress } from './results.ts';
import { STYLE_SHEET } from './style.ts';

/**
 * Renders a report as one self-contained HTML page.
 * @throws FedradError where the data does not fit `reportDataSchema`.
 */
export function renderReport(input: ReportData): string {
  const parsed = reportDataSchema.safeParse(input);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    return fail(`report.${issue.path.join('.')}`, issue.message, 'the run was recorded by another version of fedrad');
  }
  const data = parsed.data;
  const sections: readonly [title: string, lead: string, body: Markup][] = [
    ['Result', '', headline(data)],
    [
      'Federated, alone, together',
      'The federated model beside what each hospital reaches alone, and what one model reaches when all data lie in one place.',
      comparison(data),
    ],
    [
      'Curves',
      'How sensitivity trades against false alarms, and whether predicted probabilities mean what they say.',
      curves(data),
    ],
    ['Right and wrong', 'Test images by what was recorded and what the federated model called them.', mistakes(data)],
    [
      'Training, iteration by iteration',
      'The aggregated model after each iteration, on validation images.',
      progress(data),
    ],
    ['Hospitals', '', hospitals(data)],
    ['Settings', '', settings(data)],
    ['Execution', '', execution(data)],
    [
      'Provenance',
      'With these, anyone who holds the files can check that they are the ones this report is about.',
      provenance(data),
    ],
    ['Limits of use', '', limits(data)],
    ['Repeat this run', '', repetition(data)],
  ];
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${data.title}</title>
<style>${{ markup: STYLE_SHEET }}</style>
</head>
<body>
<main>
${head(data)}
${sections.map(
  ([title, lead, body]) => html`<section><h2>${title}</h2>${lead ? html`<p class="lead">${lead}</p>` : NOTHING}
${body}</section>
`,
)}<footer>fedrad evidence report of run ${data.runId}. Research use only. A figure that is absent says why.</footer>
</main>
</body>
</html>
`;
  return page.markup;
}

const STATUS: Readonly<Record<ReportData['status'], string>> = {
  completed: 'Completed',
  failed: 'Failed',
  cancelled: 'Cancelled',
  running: 'Still running',
};

function head(data: ReportData): Markup {
  const { startedAt, endedAt } = data;
  const took = isMissing(endedAt) ? '' : ` (${duration((Date.parse(endedAt) - Date.parse(startedAt)) / 1000)})`;
  const facts: Fact[] = [
    { name: 'Run', value: data.runId },
    { name: 'Started', value: instant(startedAt) },
    { name: 'Workspace', value: data.workspace },
    { name: 'Ended', value: isMissing(endedAt) ? endedAt : instant(endedAt) + took },
    { name: 'Status', value: STATUS[data.status] },
    { name: 'Images', value: data.synthetic ? 'Synthetic phantoms' : 'Radiographs of patients' },
  ];
  return html`<header><p class="kicker">Evidence report</p><h1>${data.title}</h1>${
    data.synthetic
      ? html`<p class="banner" role="note"><strong>Synthetic phantoms, not patients</strong>No figure in this report says anything about a patient, a hospital or a disease.</p>`
      : NOTHING
  }${
    data.status === 'completed'
      ? NOTHING
      : html`<p class="banner" role="note"><strong>${STATUS[data.status]}</strong>The run has not completed: the figures are of what was there when this report was written.</p>`
  }${factList(facts)}</header>`;
}
