/** What the other rooms may use of pipelines. */
export { nearest, parseConfig } from './check-config.ts';
export {
  checkOwnData,
  type PneumoniaConfig,
  pneumoniaConfigSchema,
  type UploadConfig,
  uploadConfigSchema,
} from './config.ts';
export { type Graph, graphHash, graphSchema, type Step, type StepInput, stepSchema } from './graph.ts';
export { CACHE_PATH, pneumoniaGraph } from './pneumonia.ts';
export { networkName, optimiserOf, scheduleOf, type Training } from './training.ts';
export { uploadGraph } from './upload-data.ts';
export { OWN_DATASTORE, parseUploadSource } from './upload-source.ts';
