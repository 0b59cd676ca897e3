/**
 * @file A radiograph with a map laid over it, as a PNG: where a model saw what speaks for pneumonia.
 *
 * Colours are viridis, whose brightness rises evenly, over the grey radiograph; the lower the map, the more of the radiograph shows
 * through. A white line goes round what is at least half of the maximum, so that the picture can be read without colours too.
 */
import { readFile } from 'node:fs/promises';
import type { CamMethod } from '../engine/index.ts';
import { decodeGrey } from './decode.ts';
import { drawText, TEXT_HEIGHT, textWidth } from './lettering.ts';
import { resizeBilinear } from './resample.ts';
import { loadSharp } from './sharp.ts';

export interface OverlayMap {
  /** [height, width], 0 or more; lies over the whole image, whatever its aspect. Shown relative to its maximum. */
  readonly values: Float32Array;
  readonly width: number;
  readonly height: number;
  /** P(PNEUMONIA), for the legend. */
  readonly probability: number;
}

/** The longer side of the picture: that of the radiograph, within these bounds. */
const LEAST_SIDE = 640;
const MOST_SIDE = 1024;
/** Of the colour at the maximum. */
const OPACITY = 0.65;
/** A line goes round what is above this share of the maximum. */
const CONTOUR = 0.5;
const LETTER_SCALE = 2;
const LEGEND_HEIGHT = 34;
const LEGEND_GREY = 20;

type Colour = readonly [red: number, green: number, blue: number];
const WHITE: Colour = [255, 255, 255];

/** Nine colours of viridis (matplotlib, CC0), evenly spaced. */
const VIRIDIS = '440154 472d7b 3b528b 2c728e 21918c 28ae80 5ec962 addc30 fde725'
  .split(' ')
  .map((hex) => [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)) as unknown as Colour);

/**
 * Draws a map over a radiograph (a JPEG or PNG, by its path) with a legend, which names the method that made the map; gives a PNG.
 * Throws {@link UnusableImage}.
 */
export async function drawOverlay(path: string, map: OverlayMap, method: CamMethod): Promise<Uint8Array> {
  const original = await decodeGrey(await readFile(path));
  const longer = Math.max(original.width, original.height);
  const scale = Math.min(MOST_SIDE, Math.max(LEAST_SIDE, longer)) / longer;
  const [width, height] = [original.width, original.height].map((side) => Math.max(1, Math.round(side * scale))) as [
    number,
    number,
  ];
  const { pixels } = resizeBilinear(original, width, height);
  const shares = relative(map, width, height);

  // A slim picture is widened, for its legend.
  const { items, width: legendWidth } = legendItems(map.probability, method);
  const fullWidth = Math.max(width, legendWidth);
  const canvas = Buffer.alloc(fullWidth * (height + LEGEND_HEIGHT) * 3, LEGEND_GREY);
  const set = (x: number, y: number, colour: Colour): void => canvas.set(colour, (y * fullWidth + x) * 3) as never;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      const grey = pixels[at]!;
      set(x, y, isContour(shares, at, x, y, width, height) ? WHITE : blend([grey, grey, grey], shares[at]!));
    }
  for (const { x, draw } of items)
    draw((dx, dy, colour) =>
      set(x + dx, height + Math.floor((LEGEND_HEIGHT - TEXT_HEIGHT * LETTER_SCALE) / 2) + dy, colour),
    );

  const sharp = await loadSharp();
  const raw = { width: fullWidth, height: height + LEGEND_HEIGHT, channels: 3 } as const;
  return sharp(canvas, { raw }).png().toBuffer();
}

/** The map relative to its maximum, 0..1, bilinear between the centres of its cells, at every pixel. */
function relative({ values, width: columns, height: rows }: OverlayMap, width: number, height: number): Float32Array {
  const most = values.reduce((a, b) => Math.max(a, b), 0);
  const shares = new Float32Array(width * height);
  if (most === 0) return shares;
  /** Two neighbours and the weight of the second. */
  const between = (at: number, size: number, cells: number): readonly [number, number, number] => {
    const place = Math.min(cells - 1, Math.max(0, ((at + 0.5) * cells) / size - 0.5));
    const low = Math.floor(place);
    return [low, Math.min(cells - 1, low + 1), place - low];
  };
  const across = Array.from({ length: width }, (_, x) => between(x, width, columns));
  for (let y = 0; y < height; y++) {
    const [top, bottom, down] = between(y, height, rows);
    for (let x = 0; x < width; x++) {
      const [left, right, along] = across[x]!;
      const row = (r: number): number =>
        values[r * columns + left]! * (1 - along) + values[r * columns + right]! * along;
      shares[y * width + x] = (row(top) * (1 - down) + row(bottom) * down) / most;
    }
  }
  return shares;
}

/** Just inside of the line round what is high; two pixels wide. */
function isContour(shares: Float32Array, at: number, x: number, y: number, width: number, height: number): boolean {
  if (shares[at]! < CONTOUR) return false;
  const low = (dx: number, dy: number): boolean =>
    x + dx >= 0 && x + dx < width && y + dy >= 0 && y + dy < height && shares[at + dy * width + dx]! < CONTOUR;
  return low(2, 0) || low(-2, 0) || low(0, 2) || low(0, -2);
}

function blend(below: Colour, share: number): Colour {
  const place = share * (VIRIDIS.length - 1);
  const low = Math.min(VIRIDIS.length - 2, Math.floor(place));
  const part = place - low;
  const opacity = OPACITY * share;
  return below.map((value, c) => {
    const colour = VIRIDIS[low]![c]! * (1 - part) + VIRIDIS[low + 1]![c]! * part;
    return Math.round(value * (1 - opacity) + colour * opacity);
  }) as unknown as Colour;
}

type Pen = (x: number, y: number, colour: Colour) => void;

/** What the strip below the picture shows, left to right, and its width. */
function legendItems(probability: number, method: CamMethod) {
  const gap = 12;
  const bar = 120;
  let x = gap;
  const place = (width: number, draw: (pen: Pen) => void) => {
    const item = { x, draw };
    x += width + gap;
    return item;
  };
  const text = (words: string) =>
    place(textWidth(words, LETTER_SCALE), (pen) => drawText(words, LETTER_SCALE, (dx, dy) => pen(dx, dy, WHITE)));
  const items = [
    text(method.toUpperCase()),
    text('LOW'),
    place(bar, (pen) => {
      for (let dx = 0; dx < bar; dx++)
        for (let dy = 0; dy < TEXT_HEIGHT * LETTER_SCALE; dy++) {
          const line = Math.abs(dx - CONTOUR * bar) < 1;
          // Over a middle grey, as over a radiograph.
          pen(dx, dy, line ? WHITE : blend([90, 90, 90], (dx + 0.5) / bar));
        }
    }),
    text('HIGH'),
    text(`P(PNEUMONIA) ${probability.toFixed(2)}`),
  ];
  return { items, width: x };
}
