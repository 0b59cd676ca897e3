/** What the other rooms may use of tracking. */
export { checkMlruns } from './folder-store.ts';
export type { StepFacts } from './mirror-run.ts';
export { openTracking, type TrackingOptions } from './open-tracking.ts';
export { type StepTracking, trackStep } from './step-tracking.ts';
export type { Entries, MetricPoint, NewRun, RunStatus, TrackingStore } from './store.ts';
export { logRun, type RunToTrack, type RunTracking, trackedPlace, trackRun } from './track-run.ts';
export { parseTrackingUri, placeText, type TrackingPlace } from './tracking-uri.ts';
