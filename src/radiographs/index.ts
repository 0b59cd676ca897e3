/** What the other rooms may use of radiographs: import, prepare and read images of the chest. */
export { listLabelledFolder } from './collection.ts';
export { decodeRadiograph, UnusableImage, type UnusableReason } from './decode.ts';
export type { KaggleCredentials } from './kaggle.ts';
export { CLASSES, type ClassName, type LabelledFile, SPLITS, type Split } from './layout.ts';
export { DEFAULT_LIMITS, type Limits } from './limits.ts';
export type { ImageCounts, ImportSummary, LeftOutReason } from './manifest.ts';
export { drawOverlay, type OverlayMap } from './overlay.ts';
export { type Partition, partitionSchema } from './partition.ts';
export { patientOf } from './patient.ts';
export { type PreparedSummary, type PrepareRequest, prepare } from './prepare.ts';
export { type PreparedImages, readPrepared } from './prepared.ts';
export { type GreyImage, resizeBilinear } from './resample.ts';
export { KAGGLE_URL, parseSource, type Source, sourceSchema } from './source.ts';
export { type UploadProgress, type UploadRequest, uploadData } from './upload.ts';
