/** What the other rooms may use of tracking. */
export { openTracking, type TrackingOptions } from './open-tracking.ts';
export type { Entries, MetricPoint, NewRun, RunStatus, TrackingStore } from './store.ts';
