/** @file The script of a worker thread: links the kernels to the shared memory and serves. */
import { parentPort, workerData } from 'node:worker_threads';
import { serve, type WorkerStart } from './crew.ts';
import { linkKernels } from './kernels.ts';

const start = workerData as WorkerStart;
serve(start, linkKernels(start.module, start.memory), () => parentPort?.postMessage('ready'));
