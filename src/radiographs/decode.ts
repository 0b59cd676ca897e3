/**
 * @file A JPEG or PNG to 8-bit grey, as the seed's `Grayscale(), Resize((224, 224))` on Pillow gives it, bit for bit:
 * luma first, then a bilinear resize with antialiasing.
 *
 * Colour profiles are ignored, as Pillow does. It matters: in the Kaggle set the normal images carry one (a grey gamma)
 * and those with pneumonia do not, so a decoder that applies it writes the label into the brightness.
 * Where Pillow would surprise we do the sane thing: EXIF orientation is applied and 16 bits are shifted to 8.
 * Alpha is dropped, as in Pillow.
 */
import { readFile } from 'node:fs/promises';
import { messageOf } from '../base/index.ts';
import { type GreyImage, resizeBilinear } from './resample.ts';
import { loadSharp, type Sharp } from './sharp.ts';

/** Largest image, in pixels: 10,000 x 10,000. A chest radiograph has up to about 15 million. */
const PIXEL_LIMIT = 1e8;

/** Why a file cannot be used as a radiograph. */
export type UnusableReason = 'empty file' | 'not a JPEG or PNG' | 'damaged or truncated' | 'too many pixels';

export class UnusableImage extends Error {
  override readonly name = 'UnusableImage';
  readonly reason: UnusableReason;

  constructor(reason: UnusableReason, cause?: unknown) {
    super(reason + (cause === undefined ? '' : `: ${messageOf(cause)}`), { cause });
    this.reason = reason;
  }
}

/**
 * Decodes a JPEG or PNG (a path or its bytes) to grey, `[imageSize, imageSize]`; the aspect ratio is not kept.
 * Throws {@link UnusableImage}; an error of the file system passes through.
 */
export async function decodeRadiograph(file: string | Uint8Array, imageSize: number): Promise<Uint8Array> {
  const bytes = typeof file === 'string' ? await readFile(file) : file;
  return resizeBilinear(await decodeGrey(bytes), imageSize, imageSize).pixels;
}

/** Throws {@link UnusableImage} unless these bytes are a whole JPEG or PNG. Faster than decoding for its pixels. */
export async function checkRadiograph(bytes: Uint8Array): Promise<void> {
  // libjpeg can decode to an eighth of the size; it still reads every byte, so it still finds the damage.
  await decoding(bytes, (image) => image.resize(64, 64, { fit: 'fill' }).raw().toBuffer());
}

/** Decodes a JPEG or PNG to grey at its own size. Throws {@link UnusableImage}. */
export async function decodeGrey(bytes: Uint8Array): Promise<GreyImage> {
  return decoding(bytes, async (image) => {
    const { space, orientation, channels } = await image.metadata();
    const grey = (space === 'b-w' || space === 'grey16') && channels <= 2;
    const upright = (orientation ?? 1) > 1 ? image.autoOrient() : image;
    const { data, info } = await upright
      .removeAlpha()
      .toColourspace(grey ? 'b-w' : 'srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    const { width, height } = info;
    return { width, height, pixels: info.channels === 1 ? data : luma(data, info.channels) };
  });
}

/** Pillow's conversion from RGB to L: ITU-R 601-2 luma in 16-bit fixed point. */
function luma(pixels: Uint8Array, channels: number): Uint8Array {
  const grey = new Uint8Array(pixels.length / channels);
  for (let i = 0, p = 0; i < grey.length; i++, p += channels) {
    grey[i] = (pixels[p]! * 19595 + pixels[p + 1]! * 38470 + pixels[p + 2]! * 7471 + 0x8000) >> 16;
  }
  return grey;
}

async function decoding<T>(bytes: Uint8Array, decode: (image: Sharp) => Promise<T>): Promise<T> {
  if (bytes.length === 0) throw new UnusableImage('empty file');
  // By content: libvips would also open SVG, GIF and more, and run far more code on what a file claims to be.
  if (!isJpeg(bytes) && !isPng(bytes)) throw new UnusableImage('not a JPEG or PNG');
  const sharp = await loadSharp();
  try {
    return await decode(sharp(bytes, { failOn: 'error', limitInputPixels: PIXEL_LIMIT, ignoreIcc: true }));
  } catch (error) {
    const reason = /pixel limit/i.test(messageOf(error)) ? 'too many pixels' : 'damaged or truncated';
    throw new UnusableImage(reason, error);
  }
}

const startsWith = (bytes: Uint8Array, signature: readonly number[]): boolean =>
  signature.every((byte, i) => bytes[i] === byte);
const isJpeg = (bytes: Uint8Array): boolean => startsWith(bytes, [0xff, 0xd8, 0xff]);
const isPng = (bytes: Uint8Array): boolean => startsWith(bytes, [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
