import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkParameters, shapesOf, type Tensor } from './parameters.ts';
import { decodeSafetensors, encodeSafetensors } from './safetensors.ts';

const parameters = new Map<string, Tensor>([
  ['conv1.weight', { shape: [2, 1, 3, 1], data: Float32Array.from([1, -2, 0.5, 3, 4, -0]) }],
  ['fc.bias', { shape: [3], data: Float32Array.from([1e-30, 3e38, -1]) }],
]);

test('what is written is read back, bit for bit, also from an unaligned buffer', () => {
  const file = encodeSafetensors({ parameters, metadata: { labels: 'NORMAL,PNEUMONIA' } });
  const shifted = new Uint8Array(file.length + 3);
  shifted.set(file, 3);
  for (const bytes of [file, shifted.subarray(3)]) {
    const read = decodeSafetensors(bytes, 'x');
    assert.deepEqual(read.metadata, { labels: 'NORMAL,PNEUMONIA' });
    assert.deepEqual([...read.parameters], [...parameters]);
  }
});

const withHeader = (header: unknown, bodyBytes: number): Uint8Array => {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const file = Buffer.alloc(8 + json.length + bodyBytes);
  file.writeBigUInt64LE(BigInt(json.length));
  json.copy(file, 8);
  return file;
};
const entry = (start: number, end: number, shape = [(end - start) / 4], dtype = 'F32') => ({
  dtype,
  shape,
  data_offsets: [start, end],
});

for (const [name, file, message] of [
  ['empty', new Uint8Array(0), /0 bytes long/],
  ['a pickle', Buffer.from('\x80\x02}q\x00(X\x05\x00\x00\x00modelq\x01'), /header of/],
  ['header longer than the file', withHeader({}, 0).subarray(0, 9), /header of 2 bytes/],
  ['header that is no JSON', withHeader('{"a"', 0), /not a JSON object/],
  ['header that is a list', withHeader('[]', 0), /not a JSON object/],
  ['float16', withHeader({ a: entry(0, 4, [2], 'F16') }, 4), /dtype F16/],
  ['negative size', withHeader({ a: entry(0, 4, [-1, -1]) }, 4), /no valid shape/],
  ['offsets past the end', withHeader({ a: entry(0, 8) }, 4), /does not fit/],
  ['overlap', withHeader({ a: entry(0, 8), b: entry(4, 12) }, 12), /overlap/],
  ['bytes left over', withHeader({ a: entry(0, 4) }, 8), /4 bytes after/],
] as const) {
  test(`a damaged file is refused: ${name}`, () => {
    assert.throws(() => decodeSafetensors(file, 'update.safetensors'), message);
  });
}

test('an update of another shape, with another name or with NaN is refused, with the place named', () => {
  const expected = shapesOf(parameters);
  checkParameters(parameters, expected, 'update');
  const changed = (name: string, tensor: Tensor | undefined) => {
    const copy = new Map(parameters);
    if (tensor) copy.set(name, tensor);
    else copy.delete(name);
    return () => checkParameters(copy, expected, 'silo1');
  };
  assert.throws(changed('fc.bias', undefined), /silo1: parameter "fc.bias" is missing/);
  assert.throws(changed('extra', { shape: [1], data: new Float32Array(1) }), /unexpected parameter "extra"/);
  assert.throws(changed('fc.bias', { shape: [1, 3], data: new Float32Array(3) }), /expected shape \[3\], got \[1, 3\]/);
  assert.throws(changed('fc.bias', { shape: [3], data: Float32Array.from([0, Number.NaN, 0]) }), /element 1 is NaN/);
});
