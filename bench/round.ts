/**
 * @file A round that only moves weights: the orchestrator sends a model, three silos fetch it and send one of their own, the orchestrator fetches these and
 * averages them. Every element is new in each round. nats-server, orchestrator and silos are processes of their own on this machine, with file storage; making the
 * weights and hashing them, which belongs to the steps, is not counted. Medians of the rounds.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { MODELS_BUCKET, openObjects, prepareBucket, updatesBucket } from '../src/messaging/index.ts';
import type { ContentHash } from '../src/workspace/index.ts';
import { type Contender, startContender } from './contender.ts';
import type { Bench } from './result.ts';

const SILOS = ['silo0', 'silo1', 'silo2'];
/** Float32 elements of the Azure ML example's network: 103 MB. */
const ELEMENTS = 25_750_000;

interface Answer {
  readonly result: unknown;
  readonly peakMiB: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}

/** As the units and images of deploy/ set it: keeps the memory of a transfer for the next one. */
const MALLOC = {
  MALLOC_MMAP_THRESHOLD_: '1073741824',
  MALLOC_TRIM_THRESHOLD_: '1073741824',
  MALLOC_TOP_PAD_: '67108864',
  GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1',
};
const environment = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` };
const hasServer = (): boolean => spawnSync('nats-server', ['--version'], { env: environment }).status === 0;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function startServer(folder: string, port: number): ChildProcess {
  const config = join(folder, 'nats.conf');
  const store = JSON.stringify(join(folder, 'nats'));
  writeFileSync(config, `listen: "127.0.0.1:${port}"\nmax_payload: 8MB\njetstream { store_dir: ${store} }\n`);
  return spawn('nats-server', ['-c', config], { stdio: 'ignore', env: environment });
}

async function connectWhenUp(port: number): Promise<NatsConnection> {
  for (let tries = 1; ; tries++) {
    try {
      return await connect({ servers: `127.0.0.1:${port}` });
    } catch (error) {
      if (tries === 100) throw error;
      await setTimeout(50);
    }
  }
}

const ask = async (process: Contender, command: object): Promise<Answer> =>
  (await process.ask(JSON.stringify(command))) as Answer;

/** Resident memory of the server at its highest, MiB, where the system says it. */
function peakOf(pid: number | undefined): number | undefined {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
  } catch {
    return undefined;
  }
}

/** CPU time of the server so far, s; 0 where the system does not say it. */
function cpuSecondsOf(pid: number | undefined): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ');
    // Counted in hundredths.
    return (Number(fields[13]) + Number(fields[14])) / 100;
  } catch {
    return 0;
  }
}

export const benchRound: Bench = async function* ({ tiny, note }) {
  if (!hasServer()) return note('bench round: nats-server is not installed (apt-get install nats-server)');
  const [elements, rounds] = tiny ? [250_000, 1] : [ELEMENTS, 3];
  const folder = mkdtempSync(join(tmpdir(), 'fedrad-bench-'));
  const port = await freePort();
  const server = startServer(folder, port);
  const processes: Contender[] = [];
  const start = (name: string): Contender => {
    const script = join(import.meta.dirname, 'round-process.ts');
    const started = startContender(process.execPath, [script, String(port), join(folder, name)], MALLOC);
    processes.push(started);
    return started;
  };
  try {
    const nc = await connectWhenUp(port);
    for (const bucket of [MODELS_BUCKET, ...SILOS.map(updatesBucket)]) await prepareBucket(nc, bucket);
    const objects = openObjects(nc);
    const orchestrator = start('orchestrator');
    // Making weights takes memory that is not the orchestrator's.
    const maker = start('orchestrator');
    const silos = SILOS.map(start);
    const seconds: number[] = [];
    /** CPU time so far of the orchestrator, all hospitals, nats-server. */
    const cpuOf = async (): Promise<readonly [number, number, number]> => {
      const [first, ...others] = await Promise.all([orchestrator, ...silos].map((one) => ask(one, {})));
      const inSilos = others.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
      return [first!.cpuSeconds, inSilos, cpuSecondsOf(server.pid)];
    };
    let peakMiB = 0;
    // One more round, the first, warms up.
    for (let round = 0; round <= rounds; round++) {
      const run = `round-${round}`;
      const model = (await ask(maker, { make: { name: 'model', elements } })).result as ContentHash;
      const updates: ContentHash[] = [];
      for (const silo of silos)
        updates.push((await ask(silo, { make: { name: 'update', elements } })).result as ContentHash);
      const cpuBefore = await cpuOf();
      const before = performance.now();
      await ask(orchestrator, { put: { bucket: MODELS_BUCKET, run, name: 'model', hash: model } });
      let queue: Promise<unknown> = Promise.resolve();
      await Promise.all(
        silos.map(async (silo, k) => {
          await ask(silo, { get: { bucket: MODELS_BUCKET, run, name: 'model', hash: model } });
          const bucket = updatesBucket(SILOS[k]!);
          await ask(silo, { put: { bucket, run, name: 'update', hash: updates[k]! } });
          // The orchestrator does one thing at a time here.
          queue = queue.then(() => ask(orchestrator, { get: { bucket, run, name: SILOS[k]!, hash: updates[k]! } }));
        }),
      );
      await queue;
      const { peakMiB: peak } = await ask(orchestrator, { average: { names: SILOS, name: 'next' } });
      const took = (performance.now() - before) / 1000;
      const [own, inSilos, inServer] = (await cpuOf()).map((used, i) => (used - cpuBefore[i]!).toFixed(2));
      note(
        `bench round: ${round === 0 ? 'warm-up' : `round ${round}`}: ${took.toFixed(2)} s; CPU: orchestrator ${own} s, hospitals ${inSilos} s, nats-server ${inServer} s`,
      );
      if (round > 0) seconds.push(took);
      peakMiB = peak;
      for (const bucket of [MODELS_BUCKET, ...SILOS.map(updatesBucket)]) await objects.forget(bucket, run);
      await ask(orchestrator, { remove: [...SILOS, 'model', 'next'] });
      for (const silo of silos) await ask(silo, { remove: ['model', 'update'] });
    }
    await nc.close();
    const conditions = `${SILOS.length} silos, ${((elements * 4) / 1e6).toPrecision(3)} MB each way`;
    const peer = { peer: undefined, peerName: 'Flower, NVFlare' };
    const middle = [...seconds].sort((a, b) => a - b)[Math.floor(seconds.length / 2)]!;
    yield { case: `a round, ${conditions}`, ours: Number(middle.toPrecision(3)), ...peer, unit: 's' };
    yield { case: `peak memory of the orchestrator, ${conditions}`, ours: Math.round(peakMiB), ...peer, unit: 'MiB' };
    const serverPeak = peakOf(server.pid);
    if (serverPeak !== undefined)
      yield { case: `peak memory of nats-server, ${conditions}`, ours: Math.round(serverPeak), ...peer, unit: 'MiB' };
  } finally {
    for (const started of processes) started.close();
    server.kill('SIGKILL');
    rmSync(folder, { recursive: true, maxRetries: 10 });
  }
};
