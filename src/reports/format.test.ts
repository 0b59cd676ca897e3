import assert from 'node:assert/strict';
import { test } from 'node:test';
import { duration, instant, percent, plural, whole } from './format.ts';
import { html } from './markup.ts';
import { niceAxis } from './plot.ts';

test('durations, times and counts', () => {
  assert.deepEqual([0, 59.94, 59.96, 474, 7500, 3599.6].map(duration), [
    '0.0 s',
    '59.9 s',
    '1 min 00 s',
    '7 min 54 s',
    '2 h 05 min',
    '1 h 00 min',
  ]);
  assert.equal(instant('2026-01-05T23:59:59.999Z'), '5 Jan 2026, 23:59 UTC');
  assert.equal(whole(25783554), '25,783,554');
  assert.deepEqual([percent(1, 3), percent(0, 0)], ['33 %', '–']);
  assert.deepEqual([plural(1, 'image'), plural(2, 'image')], ['1 image', '2 images']);
});

test('axes have round ticks that cover the values', () => {
  for (const [low, high] of [
    [0.912, 0.979],
    [0, 0.46],
    [0, 13.8],
    [0.5, 0.5],
    [0, 0],
    [1, 1],
    [0.9999, 1],
  ] as const) {
    const { min, max, ticks, digits } = niceAxis('y', low, high);
    assert.ok(min <= low + 1e-9 && max >= high - 1e-9 && max > min, `${low} to ${high}: ${min} to ${max}`);
    assert.ok(ticks.length >= 2 && ticks.length <= 8, `${ticks}`);
    assert.equal(new Set(ticks.map((tick) => tick.toFixed(digits))).size, ticks.length);
  }
});

test('values in markup are text, markup in markup is markup', () => {
  assert.equal(
    html`<b title="${'"<'}">${[html`<i>${1}</i>`, html`&amp;`]}${'a&b'}</b>`.markup,
    '<b title="&quot;&lt;"><i>1</i>&amp;a&amp;b</b>',
  );
});
