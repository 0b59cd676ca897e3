/** @file Does to a running federation what a fault says, and undoes it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { UNFINISHED } from '../../src/workspace/index.ts';
import { damageOne } from '../hospitals/damage.ts';
import type { Running } from '../hospitals/process.ts';
import type { Hospitals } from '../hospitals/start.ts';
import { CLEAR, type LinkState } from '../hospitals/tcp-proxy.ts';
import type { Fault } from './schedule.ts';

/** Half-fetched files live for moments; one is waited for so long. */
const FILE_WAIT_MS = 2000;
const SLOW: Partial<LinkState> = { bytesPerSecond: 2e6 };
const FAR: Partial<LinkState> = { latencyMs: 150 };
/** Files that are not finished, wherever an agent has some. */
const PARTIAL = ['cache', 'outbox', 'datastores'].flatMap((folder) => [
  `agent/${folder}/**/${UNFINISHED}*`,
  `agent/${folder}/**/${UNFINISHED}*/**`,
]);

/** Applies a fault and returns when it is undone; gives what was done, or undefined where there was nothing to do it to. */
export async function apply(fault: Fault, hospitals: Hospitals): Promise<string | undefined> {
  const { kind, host, forMs, which, at } = fault;
  const { server, orchestrator, links } = hospitals;
  const hospital = hospitals.hospitals[host % hospitals.hospitals.length]!;
  const linkName = [...links.keys()][(host + 1) % links.size]!;
  const link = links.get(linkName)!;
  const kill = async (running: Running): Promise<string | undefined> => {
    const was = await running.end();
    await sleep(forMs / 2);
    running.start();
    return was ? running.name : undefined;
  };
  const freeze = async (running: Running): Promise<string | undefined> => {
    if (!running.freeze()) return undefined;
    await sleep(forMs);
    running.thaw();
    return running.name;
  };
  const change = async (state: Partial<LinkState>): Promise<string> => {
    await link.set(state);
    await sleep(forMs);
    await link.set(CLEAR);
    return linkName;
  };
  switch (kind) {
    case 'kill orchestrator':
      return kill(orchestrator);
    case 'kill agent':
      return kill(hospital.agent);
    case 'kill nats-server':
      return kill(server);
    case 'kill step':
      return killStep(hospital.home, which);
    case 'freeze orchestrator':
      return freeze(orchestrator);
    case 'freeze agent':
      return freeze(hospital.agent);
    case 'freeze nats-server':
      return freeze(server);
    case 'cut link': {
      if (hospital.host.cut === undefined) return change({ stalled: true });
      hospital.host.cut();
      await sleep(forMs);
      hospital.host.mend();
      return hospital.name;
    }
    case 'reset connections':
      return (await link.reset()) > 0 ? linkName : undefined;
    case 'forget connections':
      return (await link.forget()) > 0 ? linkName : undefined;
    case 'stall link':
      return change({ stalled: true });
    case 'slow link':
      return change(SLOW);
    case 'delay link':
      return change(FAR);
    case 'cut file':
    case 'corrupt file': {
      const how = kind === 'cut file' ? 'cut' : 'corrupt';
      for (const deadline = performance.now() + FILE_WAIT_MS; performance.now() < deadline; await sleep(10)) {
        const path = damageOne(hospital.home, PARTIAL, { how, file: which, at });
        if (path !== undefined) return path.slice(hospital.home.length + 1);
      }
      return undefined;
    }
    case 'fill disk': {
      if (hospital.disk.fill === undefined) return undefined;
      const bytes = hospital.disk.fill();
      await sleep(forMs);
      hospital.disk.free();
      return `${hospital.name}, ${bytes} bytes`;
    }
    case 'repeat work': {
      const repeated = await hospitals.repeatWork().catch(() => 0);
      return repeated > 0 ? `${repeated} messages` : undefined;
    }
  }
}

/** Kills one process of a step of this hospital. */
function killStep(home: string, which: number): string | undefined {
  const steps = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const line = readSafely(join('/proc', pid, 'cmdline')).split('\0');
      return line.some((part) => part.startsWith(home)) && line.some((part) => part.endsWith('fedrad-step.js'));
    });
  const pid = steps[Math.floor(which * steps.length)];
  if (pid === undefined) return undefined;
  try {
    process.kill(Number(pid), 'SIGKILL');
  } catch {
    // It has ended by itself.
    return undefined;
  }
  return `process ${pid}`;
}

/** Processes end while they are looked at. */
function readSafely(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
