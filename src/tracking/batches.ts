/** @file Entries in requests that every MLflow server takes (REST API 2.0, "Log Batch": its request limits). Pure. */
import type { Entries, MetricPoint } from './store.ts';

export const MAX_METRICS = 1000;
export const MAX_PARAMS = 100;
/** Of metrics and parameters together. */
export const MAX_ENTRIES = 1000;
/** The limit is 1 MB as JSON; the rest of a request gets what is left. */
const MAX_BYTES = 900_000;

export interface Batch {
  readonly metrics: readonly { key: string; value: number; timestamp: number; step: number }[];
  readonly params: readonly { key: string; value: string }[];
}

/** The entries in order, parameters first, in as few batches as the limits allow. */
export function* batchesOf({ metrics = [], params = {} }: Entries): Generator<Batch> {
  let batch: { metrics: Batch['metrics'][number][]; params: Batch['params'][number][] } = { metrics: [], params: [] };
  let bytes = 0;
  const isFull = (more: number, isParam: boolean): boolean =>
    bytes + more > MAX_BYTES ||
    batch.metrics.length + batch.params.length === MAX_ENTRIES ||
    (isParam ? batch.params.length === MAX_PARAMS : batch.metrics.length === MAX_METRICS);
  for (const entry of [...Object.entries(params), ...metrics]) {
    const isParam = Array.isArray(entry);
    const body = isParam ? { key: entry[0], value: entry[1] } : metricBody(entry as MetricPoint);
    const size = Buffer.byteLength(JSON.stringify(body)) + 1;
    if (isFull(size, isParam)) {
      yield batch;
      batch = { metrics: [], params: [] };
      bytes = 0;
    }
    (isParam ? batch.params : batch.metrics).push(body as never);
    bytes += size;
  }
  if (batch.metrics.length + batch.params.length > 0) yield batch;
}

const metricBody = ({ name, value, at, step }: MetricPoint) => ({ key: name, value, timestamp: at, step });
