import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STYLE_SHEET } from './style.ts';

/** Relative luminance of #rrggbb (WCAG 2.2). */
function luminance(colour: string): number {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const channel = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

test('text and lines stand out from the page, in light and in dark', () => {
  const themes = [...STYLE_SHEET.matchAll(/:root\{([^}]*--ink[^}]*)\}/g)].map(
    ([, rules]) =>
      new Map([...rules!.matchAll(/--([\w-]+):(#[0-9a-f]{6})/g)].map(([, name, value]) => [name!, value!])),
  );
  assert.equal(themes.length, 2);
  for (const theme of themes) {
    const check = (name: string, on: string, least: number) => {
      const found = contrast(theme.get(name)!, theme.get(on)!);
      assert.ok(found >= least, `${name} ${theme.get(name)} on ${on} ${theme.get(on)}: ${found.toFixed(2)}`);
    };
    for (const name of ['ink', 'soft', 'federated']) check(name, 'page', 4.5);
    for (const name of ['ink', 'soft']) check(name, 'faint', 4.5);
    check('warn', 'warn-page', 4.5);
    for (const name of ['federated', 'pooled', 's1', 's2', 's3', 's4', 's5']) check(name, 'page', 3);
  }
});
