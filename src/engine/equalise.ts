/**
 * @file Histogram equalisation of each image by itself, as part of a network's input: exposure, contrast and gamma of the scanner,
 * and whatever else keeps the order of the grey values, no longer reach the network.
 */

/**
 * Writes each image [size, size] to `out` with every grey value replaced by 255 times the share of darker pixels (equal ones
 * count one half), rounded. A margin of this share of the size on each side is mapped but not counted: it holds collimators,
 * markers and air, which say nothing of the chest.
 */
export function equalise(images: Uint8Array, size: number, margin: number, out: Uint8Array): void {
  const edge = Math.floor(margin * size);
  const counts = new Uint32Array(256);
  const table = new Uint8Array(256);
  const counted = (size - 2 * edge) ** 2;
  for (let first = 0; first < images.length; first += size * size) {
    counts.fill(0);
    for (let y = edge; y < size - edge; y++) {
      const end = first + (y + 1) * size - edge;
      for (let at = first + y * size + edge; at < end; at++) counts[images[at]!]!++;
    }
    let darker = 0;
    for (let grey = 0; grey < 256; grey++) {
      table[grey] = Math.round((255 * (darker + counts[grey]! / 2)) / counted);
      darker += counts[grey]!;
    }
    for (let at = first; at < first + size * size; at++) out[at] = table[images[at]!]!;
  }
}
