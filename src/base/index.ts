/** What the other rooms may use of base. */
export { concurrently } from './concurrently.ts';
export { FedradError, FULL_DISK, fail, messageOf, type Problem, printable } from './errors.ts';
export { canonicalJson, sha256 } from './hash.ts';
export { orAborted } from './or-aborted.ts';
export {
  checkParameters,
  elementCount,
  isBuffer,
  type ParameterSet,
  type ParameterShapes,
  shapesOf,
  type Tensor,
} from './parameters.ts';
export { type Label, openRng, type PhiloxKey, philox4x32, type Rng, streamKey } from './rng.ts';
export { decodeSafetensors, encodeSafetensors, type SafetensorsFile, safetensorsParts } from './safetensors.ts';
export { withoutPaths } from './without-paths.ts';
