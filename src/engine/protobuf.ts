/**
 * @file Writes Protocol Buffers' wire format (protobuf.dev/programming-guides/encoding): varints, 32-bit fields and
 * length-delimited ones, which is all that ONNX needs. A message is a list of chunks, so that weights are never copied into it.
 */

/** Bytes in pieces, in order. */
export type Chunks = readonly Uint8Array[];

/** An int32, int64 or enum field; 0 or more. */
export const int = (field: number, value: number): Chunks => [Uint8Array.of(...varint(field * 8), ...varint(value))];

/** A float field. */
export function float(field: number, value: number): Chunks {
  const bits = new Uint8Array(4);
  new DataView(bits.buffer).setFloat32(0, value, true);
  return [Uint8Array.of(...varint(field * 8 + 5), ...bits)];
}

/** A bytes field; `content` is kept, not copied. */
export const bytes = (field: number, content: Uint8Array): Chunks => [
  Uint8Array.of(...varint(field * 8 + 2), ...varint(content.byteLength)),
  content,
];

/** A string field. */
export const string = (field: number, content: string): Chunks => bytes(field, Buffer.from(content));

/** A field that is a message of these fields. */
export function message(field: number, ...fields: readonly Chunks[]): Chunks {
  const content = fields.flat();
  const length = content.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  return [Uint8Array.of(...varint(field * 8 + 2), ...varint(length)), ...content];
}

/** Seven bits a byte, lowest first; the high bit says that more follow. */
function varint(value: number): number[] {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`varint: expected 0 or more, got ${value}`);
  const low = value % 128;
  return value < 128 ? [low] : [low + 128, ...varint((value - low) / 128)];
}
