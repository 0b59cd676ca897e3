/**
 * @file A network with its parameters as an ONNX model (IR version 8, opset 17; field numbers are those of onnx.proto3), for
 * inference in any runtime that reads ONNX.
 *
 * Input `pixels`: float32 [N, 1, H, W], grey values 0..255 as they are in the image; the normalisation is part of the graph, so
 * that it cannot be forgotten. Outputs `logits` and `probabilities`: float32 [N, 2], NORMAL and PNEUMONIA.
 */
import type { ParameterSet } from '../base/index.ts';
import type { Network } from './network.ts';
import { ONNX_NAMES, type OnnxAttribute, type OnnxNode, type OnnxTensor, onnxGraph } from './onnx-graph.ts';
import { bytes, type Chunks, float, int, message, string } from './protobuf.ts';

/** The first IR version for opset 17 (ONNX 1.12): read by every runtime since 2022. */
const IR_VERSION = 8;
const OPSET = 17;

export interface OnnxDescription {
  /** Of fedrad. */
  readonly producerVersion: string;
  /** Said in the model's doc_string. */
  readonly text: string;
  /** Kept as metadata_props, in this order. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** The bytes of the model, in pieces that share the memory of the parameters. The same input gives the same bytes. */
export function encodeOnnx(
  network: Network,
  parameters: ParameterSet,
  { producerVersion, text, metadata }: OnnxDescription,
): Chunks {
  const { nodes, initializers } = onnxGraph(network, parameters);
  const { imageSize: size } = network;
  const two = [BATCH, dimension(2)];
  return [
    int(1, IR_VERSION),
    string(2, 'fedrad'),
    string(3, producerVersion),
    string(6, text),
    message(
      7,
      ...nodes.map((node) => message(1, ...nodeFields(node))),
      string(2, 'network'),
      ...initializers.map((tensor) => message(5, ...tensorFields(tensor))),
      message(11, ...valueFields(ONNX_NAMES.input, [BATCH, ...[1, size, size].map(dimension)])),
      message(12, ...valueFields(ONNX_NAMES.logits, two)),
      message(12, ...valueFields(ONNX_NAMES.probabilities, two)),
    ),
    message(8, string(1, ''), int(2, OPSET)),
    ...Object.entries(metadata).map(([key, value]) => message(14, string(1, key), string(2, value))),
  ].flat();
}

function nodeFields({ op, inputs, output, attributes }: OnnxNode): Chunks[] {
  return [
    ...inputs.map((input) => string(1, input)),
    string(2, output),
    string(3, output),
    string(4, op),
    ...Object.entries(attributes).map(([name, value]) => message(5, string(1, name), ...attributeFields(value))),
  ];
}

/** The value and its type: FLOAT = 1, INT = 2, STRING = 3, INTS = 7. */
function attributeFields(value: OnnxAttribute): Chunks[] {
  if ('f' in value) return [float(2, value.f), int(20, 1)];
  if ('s' in value) return [string(4, value.s), int(20, 3)];
  if ('i' in value) return [int(3, value.i), int(20, 2)];
  return [...value.ints.map((each) => int(8, each)), int(20, 7)];
}

const FLOAT = 1;
const INT64 = 7;

const tensorFields = ({ name, dims, data }: OnnxTensor): Chunks[] => [
  ...dims.map((size) => int(1, size)),
  int(2, data instanceof Float32Array ? FLOAT : INT64),
  string(8, name),
  // Little-endian, as every machine that Node runs on but s390x.
  bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
];

const dimension = (size: number): Chunks => message(1, int(1, size));
const BATCH = message(1, string(2, 'batch'));

/** A float32 input or output of these dimensions. */
const valueFields = (name: string, dims: readonly Chunks[]): Chunks[] => [
  string(1, name),
  message(2, message(1, int(1, FLOAT), message(2, ...dims))),
];
