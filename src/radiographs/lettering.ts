/** @file A few letters, drawn by hand, 5 x 7 pixels: legends must not depend on the fonts of a machine, which may have none. */

const GLYPHS: Readonly<Record<string, string>> = {
  A: '.###. #...# #...# ##### #...# #...# #...#',
  C: '.###. #...# #.... #.... #.... #...# .###.',
  D: '####. #...# #...# #...# #...# #...# ####.',
  E: '##### #.... #.... ####. #.... #.... #####',
  G: '.###. #...# #.... #.### #...# #...# .###.',
  H: '#...# #...# #...# ##### #...# #...# #...#',
  I: '.###. ..#.. ..#.. ..#.. ..#.. ..#.. .###.',
  L: '#.... #.... #.... #.... #.... #.... #####',
  M: '#...# ##.## #.#.# #.#.# #...# #...# #...#',
  N: '#...# ##..# ##..# #.#.# #..## #..## #...#',
  O: '.###. #...# #...# #...# #...# #...# .###.',
  P: '####. #...# #...# ####. #.... #.... #....',
  R: '####. #...# #...# ####. #.#.. #..#. #...#',
  S: '.#### #.... #.... .###. ....# ....# ####.',
  U: '#...# #...# #...# #...# #...# #...# .###.',
  W: '#...# #...# #...# #.#.# #.#.# ##.## #...#',
  '0': '.###. #...# #...# #...# #...# #...# .###.',
  '1': '..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###.',
  '2': '.###. #...# ....# ...#. ..#.. .#... #####',
  '3': '.###. #...# ....# ..##. ....# #...# .###.',
  '4': '...#. ..##. .#.#. #..#. ##### ...#. ...#.',
  '5': '##### #.... ####. ....# ....# #...# .###.',
  '6': '.###. #.... #.... ####. #...# #...# .###.',
  '7': '##### ....# ...#. ...#. ..#.. ..#.. ..#..',
  '8': '.###. #...# #...# .###. #...# #...# .###.',
  '9': '.###. #...# #...# .#### ....# ....# .###.',
  '(': '...#. ..#.. .#... .#... .#... ..#.. ...#.',
  ')': '.#... ..#.. ...#. ...#. ...#. ..#.. .#...',
  '.': '..... ..... ..... ..... ..... .##.. .##..',
  '-': '..... ..... ..... .###. ..... ..... .....',
  ' ': '..... ..... ..... ..... ..... ..... .....',
};

/** Width of a text in pixels, with one empty column after each letter; `scale` enlarges each pixel. */
export const textWidth = (text: string, scale: number): number => text.length * 6 * scale;

export const TEXT_HEIGHT = 7;

/** Calls `set(x, y)` for every pixel of a text whose upper left corner is (0, 0). Throws where a letter has no drawing. */
export function drawText(text: string, scale: number, set: (x: number, y: number) => void): void {
  for (const [index, letter] of [...text].entries()) {
    const rows = GLYPHS[letter]?.split(' ');
    if (!rows) throw new RangeError(`no drawing of "${letter}"`);
    for (let y = 0; y < TEXT_HEIGHT * scale; y++)
      for (let x = 0; x < 5 * scale; x++)
        if (rows[Math.floor(y / scale)]![Math.floor(x / scale)] === '#') set(index * 6 * scale + x, y);
  }
}
