/**
 * @file A line plot as SVG: axes, grid, an optional diagonal, series. Colours are CSS classes (see `style.ts`), so that one
 * drawing serves light, dark and print; dashes repeat what colours say, for who cannot tell these apart.
 */
import { html, type Markup, NOTHING } from './markup.ts';

export interface Axis {
  readonly label: string;
  readonly min: number;
  readonly max: number;
  readonly ticks: readonly number[];
  /** Digits after the point of the tick labels. */
  readonly digits: number;
}

export interface Series {
  readonly label: string;
  /** CSS class that sets the colour, and the dash: `series-federated`, `series-2`. */
  readonly style: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** Draw a dot at each point. */
  readonly dots: boolean;
  /** Vertical bars, as of intervals. */
  readonly bars?: readonly (readonly [x: number, low: number, high: number])[];
}

export interface Plot {
  /** Unique in the page: the name that the drawing is announced by. */
  readonly id: string;
  readonly title: string;
  /** What it shows, for who cannot see it. */
  readonly description: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  /** The line y = x: chance for ROC, truth for calibration. */
  readonly diagonal: boolean;
  /** Height of the drawing; its width is 440, its unit a CSS pixel at full size. */
  readonly height: number;
}

const WIDTH = 440;
const MARGIN = { left: 52, right: 14, top: 14, bottom: 46 };

/** A coordinate to a tenth of a pixel. */
const px = (value: number): string => String(Math.round(value * 10) / 10);

/** Round tick positions (1, 2 or 5 times a power of ten) that cover [low, high], about `count` of them. */
export function niceAxis(label: string, low: number, high: number, count = 5): Axis {
  const span = high > low ? high - low : Math.abs(high) || 1;
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const unit = [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999)! * power;
  const [first, last] = [
    Math.floor(low / unit + 1e-9),
    Math.max(Math.ceil(high / unit - 1e-9), Math.floor(low / unit) + 1),
  ];
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * unit);
  return {
    label,
    min: first * unit,
    max: last * unit,
    ticks,
    digits: Math.max(0, -Math.floor(Math.log10(unit) + 1e-9)),
  };
}

/** An SVG path through points. */
export const pathOf = (points: readonly (readonly [number, number])[]): string =>
  points.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${px(x)} ${px(y)}`).join('');

/** Without the points closer than half a pixel to the one before: the curve of a large set stays a small drawing. */
function thinned(points: readonly (readonly [number, number])[]): (readonly [number, number])[] {
  const kept: (readonly [number, number])[] = [];
  for (const [i, [x, y]] of points.entries()) {
    const last = kept.at(-1);
    const moved = !last || Math.max(Math.abs(x - last[0]), Math.abs(y - last[1])) >= 0.5;
    if (moved || i === points.length - 1) kept.push([x, y]);
  }
  return kept;
}

/** Draws a plot. */
export function drawPlot({ id, title, description, x, y, series, diagonal, height }: Plot): Markup {
  const [right, bottom] = [WIDTH - MARGIN.right, height - MARGIN.bottom];
  const at = (axis: Axis, value: number): number => (value - axis.min) / (axis.max - axis.min || 1);
  const xOf = (value: number): number => MARGIN.left + at(x, value) * (right - MARGIN.left);
  const yOf = (value: number): number => bottom - at(y, value) * (bottom - MARGIN.top);
  const lines = series.map(({ style, points, dots, bars = [] }) => {
    const placed = points.map(([px0, py0]) => [xOf(px0), yOf(py0)] as const);
    const upright = bars.map(
      ([x0, low, high]) =>
        html`<path class="bar" d="${pathOf([
          [xOf(x0), yOf(low)],
          [xOf(x0), yOf(high)],
        ])}"/>`,
    );
    return html`<g class="${style}">${upright}${placed.length > 1 ? html`<path class="line" d="${pathOf(thinned(placed))}"/>` : NOTHING}${
      dots ? placed.map(([cx, cy]) => html`<circle cx="${px(cx)}" cy="${px(cy)}" r="3.2"/>`) : []
    }</g>`;
  });
  return html`<svg class="plot" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="${id}-title ${id}-text">
<title id="${id}-title">${title}</title><desc id="${id}-text">${description}</desc>
<g class="grid">${x.ticks.map(
    (tick) =>
      html`<path d="${pathOf([
        [xOf(tick), MARGIN.top],
        [xOf(tick), bottom],
      ])}"/>`,
  )}${y.ticks.map(
    (tick) =>
      html`<path d="${pathOf([
        [MARGIN.left, yOf(tick)],
        [right, yOf(tick)],
      ])}"/>`,
  )}</g>
${
  diagonal
    ? html`<path class="diagonal" d="${pathOf([
        [xOf(x.min), yOf(y.min)],
        [xOf(x.max), yOf(y.max)],
      ])}"/>`
    : NOTHING
}
<g class="ticks" aria-hidden="true">${x.ticks.map(
    (tick) => html`<text x="${px(xOf(tick))}" y="${bottom + 18}" text-anchor="middle">${tick.toFixed(x.digits)}</text>`,
  )}${y.ticks.map(
    (tick) =>
      html`<text x="${MARGIN.left - 8}" y="${px(yOf(tick) + 4)}" text-anchor="end">${tick.toFixed(y.digits)}</text>`,
  )}<text class="label" x="${px((MARGIN.left + right) / 2)}" y="${height - 8}" text-anchor="middle">${x.label}</text>
<text class="label" x="${px((MARGIN.top + bottom) / -2)}" y="13" text-anchor="middle" transform="rotate(-90)">${y.label}</text></g>
${lines}
</svg>`;
}

/** A swatch of a series, for legends and table rows. */
export const swatch = (style: string): Markup =>
  html`<svg class="swatch ${style}" viewBox="0 0 24 10" aria-hidden="true"><path class="line" d="M1 5L23 5"/></svg>`;
