import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRng } from '../base/index.ts';
import { intervalMark } from './charts.ts';
import { evaluateScores } from './evaluate.ts';
import { renderReport } from './report.ts';
import { type ReportData, reportDataSchema } from './report-data.ts';
import { sampleReport } from './sample-data.ts';

const sample = sampleReport();
const page = renderReport(sample);
/** The text of a page, as a reader sees it. */
const textOf = (markup: string): string =>
  markup
    .replace(/<style>.*<\/style>/s, '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ');

test('the page has every section and is small, and renders the same twice', () => {
  const headings = [...page.matchAll(/<h2>([^<]+)<\/h2>/g)].map(([, title]) => title);
  assert.deepEqual(headings, [
    'Result',
    'Federated, alone, together',
    'Curves',
    'Right and wrong',
    'Training, iteration by iteration',
    'Hospitals',
    'Settings',
    'Execution',
    'Provenance',
    'Limits of use',
    'Repeat this run',
  ]);
  assert.ok(Buffer.byteLength(page) < 300_000, `${Buffer.byteLength(page)} bytes`);
  assert.equal(renderReport(sampleReport()), page);
});

test('exact curves of large test sets still make a small page', () => {
  const rng = openRng(1, 'large');
  const labels = Uint8Array.from({ length: 8000 }, (_, i) => i % 2);
  const probabilities = Float64Array.from(labels, (label) => 0.2 * label + 0.8 * rng.uniform());
  const evaluation = evaluateScores({ probabilities, labels, seed: 1, replicates: 20 });
  assert.ok(evaluation.roc.length > 2000, `${evaluation.roc.length} corners`);
  const large = renderReport({ ...sample, comparison: sample.comparison.map((row) => ({ ...row, evaluation })) });
  assert.ok(Buffer.byteLength(large) < 200_000, `${Buffer.byteLength(large)} bytes`);
});

test('what is read back from JSON renders the same', () => {
  assert.equal(renderReport(reportDataSchema.parse(JSON.parse(JSON.stringify(sample)))), page);
});

test('the page refers to nothing outside itself and runs nothing', () => {
  for (const forbidden of [
    /\b(?:src|href|srcset|action|data)\s*=/i,
    /url\(/i,
    /@import/i,
    /https?:/i,
    /<(?:script|link|iframe|object|img)\b/i,
    /\son\w+=/i,
  ]) {
    assert.doesNotMatch(page, forbidden);
  }
  assert.match(page, /Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/);
});

test('all that comes from outside is text', () => {
  const evil = `<script>alert("1")</script>'&\u0000`;
  const poison = (value: unknown, key = ''): unknown => {
    if (typeof value === 'string') {
      // Values that the schema holds to a form cannot carry markup.
      const fixed = ['kind', 'status', 'startedAt', 'endedAt', 'sha256', 'model', 'initialModel', 'graph'].includes(
        key,
      );
      return fixed ? value : evil + value;
    }
    if (Array.isArray(value)) return value.map((inner) => poison(inner));
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, poison(inner, name)]));
  };
  const poisoned = renderReport(poison(sample) as ReportData);
  assert.doesNotMatch(poisoned, /<script/i);
  assert.ok(!poisoned.includes('alert("1")') && !poisoned.includes('\u0000'));
  assert.ok(poisoned.split('&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;').length > 60);
  // Nothing broke out: the poisoned page has the tags of the clean one.
  const tags = (markup: string) => [...markup.matchAll(/<\/?[a-z0-9]+/gi)].map(([tag]) => tag);
  assert.deepEqual(tags(poisoned), tags(page));
});

test('phantoms are announced at the top and in the limits, and only they', () => {
  assert.doesNotMatch(page, /Synthetic phantoms/);
  const text = textOf(renderReport({ ...sample, synthetic: true }));
  assert.ok(text.indexOf('Synthetic phantoms, not patients') < text.indexOf('Result'));
  assert.match(text, /they say nothing about patients, hospitals or pneumonia/);
});

test('a run that knows nothing still gives a page, with each reason on it', () => {
  const missing = (reason: string) => ({ missing: reason });
  const text = textOf(
    renderReport({
      ...sample,
      status: 'failed',
      endedAt: missing('it stopped'),
      comparison: sample.comparison.map((row) => ({ ...row, evaluation: missing(`no ${row.kind}`) })),
      iterations: [],
      hospitals: sample.hospitals.map((hospital) => ({
        ...hospital,
        splits: [],
        intake: missing('no log'),
        test: missing('no test set'),
      })),
      privacy: missing('nothing beyond the site policies'),
      hashes: { model: missing('no model'), initialModel: missing('a'), graph: missing('b'), manifests: [] },
      steps: [],
      execution: { sandbox: missing('c'), kernels: missing('d'), machine: missing('e') },
    }),
  );
  for (const reason of [
    'it stopped',
    'no federated-best',
    'no alone',
    'no pooled',
    'no log',
    'no test set',
    'no model',
  ]) {
    assert.match(text, new RegExp(`not measured: ${reason}`));
  }
  assert.match(text, /The run has not completed/);
  assert.doesNotMatch(text, /NaN|Infinity|undefined|null/);
  const bare = renderReport({ ...sample, comparison: [], hospitals: [], iterations: [] });
  assert.doesNotMatch(textOf(bare), /NaN|Infinity|undefined|null/);
});

test('drawings have names, tables have headers and captions, ids are unique', () => {
  const drawings = [...page.matchAll(/<svg ([^>]*)>/g)].map(([, attributes]) => attributes!);
  for (const attributes of drawings) assert.match(attributes, /aria-hidden="true"|role="img" aria-label/);
  for (const [, body] of page.matchAll(/<table[^>]*>(.*?)<\/table>/gs)) {
    assert.match(body!, /<caption>/);
    assert.match(body!, /<th scope="col"/);
    assert.match(body!, /<th scope="row"/);
  }
  const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
  assert.equal(new Set(ids).size, ids.length);
  assert.doesNotMatch(page, /NaN|Infinity|undefined/);
});

test('an interval in a table cell, drawn to the tenth of a pixel', () => {
  assert.equal(
    intervalMark(0.9, [0.85, 0.95], 0.8, 1, 'series-s1').markup,
    '<svg class="mark series-s1" viewBox="0 0 160 16" role="img" aria-label="0.900 [0.850, 0.950]">' +
      '<path class="scale" d="M4 8L156 8"/><path class="whisker" d="M42 8L118 8"/><circle cx="80" cy="8" r="4"/></svg>',
  );
});

test('data that does not fit is refused with its place', () => {
  const broken = { ...sample, hashes: { ...sample.hashes, model: 'abc' } };
  assert.throws(() => renderReport(broken), /report\.hashes\.model: .*another version of fedrad/);
});
