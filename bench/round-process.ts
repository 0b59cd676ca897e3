/**
 * @file One process of bench/round.ts, orchestrator or silo: it makes weights, sends, fetches and averages them, as told by lines on standard input.
 */
import { randomFillSync } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { connect } from '@nats-io/transport-node';
import { encodeSafetensors } from '../src/base/index.ts';
import { growOnce, openObjects } from '../src/messaging/index.ts';
import { type ContentHash, hashContent } from '../src/workspace/index.ts';
import { averageFiles } from './round-average.ts';

const [port, folder] = process.argv.slice(2) as [string, string];
const nc = await connect({ servers: `127.0.0.1:${port}` });
growOnce(nc);
const objects = openObjects(nc);
const place = (name: string): string => join(folder, name);

/** Random weights between -1 and 1, none like in the round before, as a step leaves them. */
async function make(name: string, elements: number): Promise<ContentHash> {
  const data = new Float32Array(elements);
  const bits = new Uint32Array(data.buffer);
  // randomFillSync takes at most 2 GiB.
  randomFillSync(bits);
  for (let i = 0; i < bits.length; i++) bits[i] = (bits[i]! & 0x807fffff) | 0x3f000000;
  await rm(place(name), { recursive: true, force: true });
  await mkdir(place(name), { recursive: true });
  const parameters = new Map([['fc1.weight', { shape: [elements], data }]]);
  await writeFile(
    join(place(name), 'model.safetensors'),
    encodeSafetensors({ parameters, metadata: { format: 'pt' } }),
  );
  await writeFile(join(place(name), 'update.json'), `${JSON.stringify({ silo: name, examples: 1000 })}\n`);
  return hashContent(place(name));
}

interface Command {
  readonly make?: { readonly name: string; readonly elements: number };
  readonly put?: { readonly bucket: string; readonly run: string; readonly name: string; readonly hash: ContentHash };
  readonly get?: { readonly bucket: string; readonly run: string; readonly name: string; readonly hash: ContentHash };
  readonly average?: { readonly names: readonly string[]; readonly name: string };
  readonly remove?: readonly string[];
}

async function run({ make: making, put, get, average, remove }: Command): Promise<unknown> {
  if (making) return make(making.name, making.elements);
  if (put) return objects.put(put.bucket, put.run, place(put.name), put.hash);
  if (get) return objects.get(get.bucket, get.run, get.hash, place(get.name));
  if (average) {
    const model = (name: string): string => join(place(name), 'model.safetensors');
    await mkdir(place(average.name), { recursive: true });
    return averageFiles(average.names.map(model), model(average.name));
  }
  for (const name of remove ?? []) await rm(place(name), { recursive: true, force: true });
  return undefined;
}

for await (const line of createInterface({ input: process.stdin })) {
  const before = performance.now();
  const result = await run(JSON.parse(line) as Command);
  // resourceUsage counts kilobytes.
  const peakMiB = process.resourceUsage().maxRSS / 1024;
  const cpu = process.cpuUsage();
  const answer = {
    result,
    peakMiB,
    seconds: (performance.now() - before) / 1000,
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
  };
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await nc.close();
