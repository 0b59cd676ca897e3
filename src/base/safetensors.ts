/**
 * @file The safetensors format (huggingface/safetensors, format description 0.4): an 8-byte little-endian header length,
 * a JSON header, then the raw tensors. Reading it runs no code, whatever the file says. Float32 only.
 */
import { FedradError, fail } from './errors.ts';
import { elementCount, type ParameterSet, type Tensor } from './parameters.ts';

/** The format's own limit on the header. */
const HEADER_BYTES_LIMIT = 100_000_000;

export interface SafetensorsFile {
  readonly parameters: ParameterSet;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Writes parameters; the same parameters and metadata give the same bytes. */
export const encodeSafetensors = (file: SafetensorsFile): Uint8Array => Buffer.concat(safetensorsParts(file));

/** The same bytes in pieces, of which those of the tensors are their own memory: a model is written without a second copy of it. */
export function safetensorsParts({ parameters, metadata }: SafetensorsFile): Uint8Array[] {
  const header: Record<string, unknown> = {};
  const keys = Object.keys(metadata).sort();
  if (keys.length > 0) header.__metadata__ = Object.fromEntries(keys.map((key) => [key, metadata[key]]));
  let end = 0;
  for (const [name, { shape, data }] of parameters) {
    if (data.length !== elementCount(shape))
      throw new RangeError(`encodeSafetensors: ${name}: shape and data disagree`);
    header[name] = { dtype: 'F32', shape, data_offsets: [end, end + data.byteLength] };
    end += data.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const headerBytes = Math.ceil(json.length / 8) * 8;
  const head = new Uint8Array(8 + headerBytes).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(headerBytes), true);
  head.set(json, 8);
  const tensors = [...parameters.values()].map(
    ({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  );
  return [head, ...tensors];
}

/** Reads a safetensors file; `where` names it in errors. The tensors may share the memory of `file`. */
export function decodeSafetensors(file: Uint8Array, where: string): SafetensorsFile {
  const bad = (problem: string): never =>
    fail(where, `not a safetensors file: ${problem}`, 'the file is damaged or of another kind');
  if (file.length < 8) bad(`${file.length} bytes long`);
  const headerBytes = Number(new DataView(file.buffer, file.byteOffset, 8).getBigUint64(0, true));
  if (headerBytes > HEADER_BYTES_LIMIT || 8 + headerBytes > file.length) bad(`header of ${headerBytes} bytes`);
  const header = parseHeader(file.subarray(8, 8 + headerBytes), bad);
  const body = file.subarray(8 + headerBytes);
  const parameters = new Map<string, Tensor>();
  let metadata: Record<string, string> = {};
  const spans: (readonly [number, number])[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') {
      if (!isStringRecord(entry)) bad('__metadata__ is not text by name');
      metadata = entry as Record<string, string>;
      continue;
    }
    const { shape, start, end } = tensorEntry(name, entry, body.length, bad);
    spans.push([start, end]);
    parameters.set(name, { shape, data: float32At(body, start, end) });
  }
  // The format wants the tensors to fill the body without holes or overlaps.
  let covered = 0;
  for (const [start, end] of spans.sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
    if (start !== covered) bad('tensors overlap or leave a hole');
    covered = end;
  }
  if (covered !== body.length) bad(`${body.length - covered} bytes after the last tensor`);
  return { parameters, metadata };
}

type Bad = (problem: string) => never;

function parseHeader(bytes: Uint8Array, bad: Bad): Record<string, unknown> {
  try {
    const header: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (header !== null && typeof header === 'object' && !Array.isArray(header))
      return header as Record<string, unknown>;
  } catch (error) {
    if (error instanceof FedradError) throw error;
  }
  return bad('the header is not a JSON object');
}

function tensorEntry(name: string, entry: unknown, bodyBytes: number, bad: Bad) {
  const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>;
  if (dtype !== 'F32') bad(`tensor "${name}" has dtype ${String(dtype)}, expected F32`);
  if (!isSizes(shape)) return bad(`tensor "${name}" has no valid shape`);
  if (!isSizes(offsets) || offsets.length !== 2) return bad(`tensor "${name}" has no valid data_offsets`);
  const [start, end] = offsets as [number, number];
  if (start > end || end > bodyBytes || end - start !== elementCount(shape) * 4)
    bad(`tensor "${name}" does not fit its offsets`);
  return { shape, start, end };
}

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);

const isStringRecord = (value: unknown): boolean =>
  value !== null && typeof value === 'object' && Object.values(value).every((text) => typeof text === 'string');

function float32At(body: Uint8Array, start: number, end: number): Float32Array {
  const offset = body.byteOffset + start;
  return offset % 4 === 0
    ? new Float32Array(body.buffer as ArrayBuffer, offset, (end - start) / 4)
    : new Float32Array(new Uint8Array(body.subarray(start, end)).buffer);
}
