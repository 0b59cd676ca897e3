/**
 * @file What a hospital's words lose before they leave it: paths and file names, which may be patients' names.
 *
 * Too much goes rather than too little. Words are looked at in pieces, split where a message splits them (`where: problem`, quotes);
 * a piece that holds something like a path or a file name goes whole, so that spaces in a name hide nothing. A name that has
 * neither a separator nor an extension is not recognised.
 */

/** Stands for a piece that was taken out. */
export const TAKEN_OUT = '<path>';

/** Between pieces: a colon or semicolon before a space, the end of a line, a quote at the edge of a word. */
const SPLIT = /([:;](?=\s)|\n|["`]|(?<=^|[\s([{])'|'(?=$|[\s)\]},.:;]))/;
/** Slashes that are none of a path: `12/40`, `images/s`. */
const RATIO = /(?<![\w./\\-])(?:\d+(?:\.\d+)?\/\d+(?:\.\d+)?|\w+\/(?:s|min|h))(?![\w./\\-])/g;
const SEPARATOR = /[/\\]/;
/** `person1.jpeg`, `study.nii.gz`, `.hidden`; not `0.5`, nor the end of a sentence. */
const FILE_NAME = /\.\p{L}[\p{L}\d_-]*(?=$|[^\p{L}\d_-])/u;
const MAX_CHARACTERS = 2000;

/** The text without paths and file names, and at most {@link MAX_CHARACTERS} long. */
export function withoutPaths(text: string): string {
  const pieces = text.slice(0, MAX_CHARACTERS).split(SPLIT);
  return pieces
    .map((piece, index) => (index % 2 === 0 && namesFile(piece) ? aroundSpaces(piece) : piece))
    .join('')
    .slice(0, MAX_CHARACTERS);
}

const namesFile = (piece: string): boolean => {
  const rest = piece.replace(RATIO, '');
  return SEPARATOR.test(rest) || FILE_NAME.test(rest);
};

const aroundSpaces = (piece: string): string => piece.replace(/^(\s*).*?(\s*)$/s, `$1${TAKEN_OUT}$2`);
