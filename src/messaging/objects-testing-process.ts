/** @file For tests: a process that sends or fetches, and says how far it is, to be killed in the middle: `node <this file> <JSON>`. */
import { connect } from '@nats-io/transport-node';
import type { ContentHash } from '../workspace/index.ts';
import { openObjects } from './objects.ts';

export interface Transfer {
  readonly port: number;
  readonly way: 'put' | 'get';
  readonly bucket: string;
  readonly run: string;
  readonly path: string;
  readonly hash: ContentHash;
}

const { port, way, bucket, run, path, hash } = JSON.parse(process.argv[2]!) as Transfer;
const nc = await connect({ port, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
const objects = openObjects(nc);
const options = { onProgress: (done: number) => void process.stdout.write(`${done}\n`) };
if (way === 'put') await objects.put(bucket, run, path, hash, options);
else await objects.get(bucket, run, hash, path, options);
await nc.close();
process.stdout.write('end\n');
