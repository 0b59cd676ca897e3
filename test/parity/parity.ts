/** @file One small federation on every backend, one after another. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { evidenceSchema } from '../../src/components/index.ts';
import { skipWithoutNats, startFederation } from '../../src/messaging/testing.ts';
import { withoutAzurite } from '../azure/azurite.ts';
import { ON_AZURE, startSandbox } from '../azure/sandbox.ts';
import { program } from '../cli.ts';
import type { Cleanup } from '../hospitals/tool.ts';
import { configTexts, type Fedrad, fedradAt } from './small-run.ts';

/** The run, on a backend whose home this is. */
export interface Scene {
  readonly folder: string;
  /** SHA-256 of the last model's file; `more` goes to both submits. */
  run(fedrad: Fedrad, more?: readonly string[]): Promise<string>;
}

interface BackendUnderTest {
  readonly name: string;
  /** Why it cannot be had here. */
  readonly missing: string | false;
  hash(t: Cleanup, scene: Scene): Promise<string>;
}

const BACKENDS: readonly BackendUnderTest[] = [
  {
    name: 'local',
    missing: false,
    hash: async (_, { folder, run }) => {
      const home = join(folder, 'local');
      const fedrad = fedradAt(home);
      await fedrad('provision');
      return run(fedrad);
    },
  },
  {
    name: 'nats',
    missing: skipWithoutNats,
    hash: async (t, { folder, run }) => {
      const { home, hospitals } = await startFederation(t, { folder: join(folder, 'nats') });
      keepRunning(t, '--home', home, 'orchestrator', 'start', '--http', '127.0.0.1:0');
      for (const hospital of hospitals) keepRunning(t, '--home', hospital.home, 'agent');
      return run(fedradAt(home));
    },
  },
  {
    // Against a stand-in for Azure ML and Azurite: test/azure/.
    name: 'azureml',
    missing: withoutAzurite ?? false,
    hash: async (t, { folder, run }) => {
      const { environment } = await startSandbox(t);
      return run(fedradAt(join(folder, 'azureml'), environment), ON_AZURE);
    },
  },
];

/** A command of fedrad that runs until the end. */
export function keepRunning(t: Cleanup, ...args: readonly string[]): void {
  const child = spawn(process.execPath, [program, ...args], { stdio: 'ignore' });
  t.after(async () => {
    const exited = once(child, 'exit');
    if (child.kill('SIGKILL')) await exited;
  });
}

/** Each backend's model, one after another. */
export async function* parity(
  t: Cleanup,
): AsyncGenerator<{ backend: string; model_hash: string } | { missing: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-parity-'));
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const training = '  image_size: 16\n  channels: [8]\n  hidden: 32\n';
  const texts = await configTexts({ folder, source: 'phantom:24', training });
  const [upload, config] = [join(folder, 'upload.yaml'), join(folder, 'config.yaml')];
  await writeFile(upload, texts.upload);
  await writeFile(config, texts.pneumonia);
  const run: Scene['run'] = async (fedrad, more = []) => {
    await fedrad('submit', 'upload-data', '--example', 'PNEUMONIA', '--config', upload, '--wait', ...more);
    await fedrad('submit', 'pneumonia', '--config', config, '--wait', ...more);
    const report = JSON.parse(await fedrad('run', 'report', '--json'));
    return evidenceSchema.parse(report.evidence).files?.last ?? 'the report names no model';
  };
  for (const { name, missing, hash } of BACKENDS) {
    if (missing) yield { missing: `${name}: ${missing}` };
    else yield { backend: name, model_hash: await hash(t, { folder, run }) };
  }
}
