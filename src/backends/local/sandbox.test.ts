/** @file Runs a probe in the place of a training step, in the sandbox that the backend builds for it, and sees what it gets at. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { type Graph, graphHash } from '../../pipelines/index.ts';
import { findDatastore, newRunId, openRunHistory, openWorkspace, provisionWorkspace } from '../../workspace/index.ts';
import { localBackend } from './local-backend.ts';
import { confine, detectSandbox, NOTHING, type SandboxKind } from './sandbox.ts';

async function probe(context: TestContext, sandbox: SandboxKind): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-sandbox-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const home = join(folder, 'home');
  const provisioned = await provisionWorkspace(home);
  const workspace = await openWorkspace(home);
  const server = createServer((socket) => socket.end()).listen(0, '127.0.0.1');
  const unixSocket = join(folder, 'socket');
  const unixServer = createServer((socket) => socket.end()).listen(unixSocket);
  await Promise.all([once(server, 'listening'), once(unixServer, 'listening')]);
  context.after(() => {
    server.close();
    unixServer.close();
  });
  const address = server.address() as { port: number };

  await workspace.vault.setPolicy(provisioned.computes[0]!.identity, ['set']);
  await workspace.vault.setSecret('kagglekey', 'not for steps', provisioned.computes[0]!.identity);
  const secretFiles = ['vault', 'workspace.json'].map((name) => join(home, 'workspaces', 'aml-fldemo', name));
  for (const path of secretFiles) assert.ok(existsSync(path), path);
  const datastore = (name: string) => findDatastore(workspace, name, 'test');
  const otherImage = datastore('datastore_silo1').localPath('pneumonia/train/NORMAL/IM-0001.jpeg');
  await mkdir(join(otherImage, '..'), { recursive: true });
  await writeFile(otherImage, 'an image of another hospital');
  const ownData = datastore('datastore_silo0').localPath('pneumonia');
  await mkdir(ownData, { recursive: true });
  const vaultFiles = await readdir(secretFiles[0]!);
  // What a hospital keeps of a federation (messaging/membership.ts).
  const membership = join(home, 'membership');
  await mkdir(membership, { recursive: true });
  const memberFiles = ['membership.json', 'user.nk', 'signing.pem'];
  for (const file of memberFiles) await writeFile(join(membership, file), 'not for steps');
  const plan = {
    files: {
      ...Object.fromEntries(memberFiles.map((file) => [`membership/${file}`, join(membership, file)])),
      "another hospital's image": otherImage,
      ...Object.fromEntries(vaultFiles.map((file) => [`vault/${file}`, join(secretFiles[0]!, file)])),
      'the workspace': secretFiles[1]!,
      'the run history': join(home, 'runs.sqlite'),
      'the password file': '/etc/passwd',
    },
    port: address.port,
    unixSocket,
    outside: join(folder, 'written'),
  };
  await writeFile(join(ownData, 'plan.json'), JSON.stringify(plan));

  const input = { from: 'datastore', path: 'azureml://datastores/datastore_silo0/paths/pneumonia' } as const;
  const graph: Graph = {
    pipeline: 'pneumonia',
    experiment: 'probe',
    steps: [
      {
        id: 'probe',
        component: 'train-in-silo',
        compute: 'silo0-01',
        inputs: { data_silo0: input, checkpoint: input },
        outputs: { model: 'azureml://datastores/datastore_orchestrator/paths/probe/${{name}}' },
        parameters: {},
        secrets: [],
        network: false,
        optional: false,
        replace: false,
        resources: {},
      },
    ],
  };
  using history = await openRunHistory(home);
  const id = newRunId();
  const at = new Date().toISOString();
  history.create({
    id,
    at,
    experiment: 'probe',
    pipeline: 'pneumonia',
    workspace: 'aml-fldemo',
    graphHash: graphHash(graph),
  });
  process.env['FEDRAD_PROBE_SECRET'] = 'not for steps';
  const outcome = await localBackend({
    workspace,
    history,
    runFolder: (run) => join(home, 'runs', run),
    sandbox,
    stepProgram: join(import.meta.dirname, 'fixtures', 'probe.js'),
    cores: 2,
    now: () => new Date(),
  }).execute(id, graph, { signal: new AbortController().signal, onUpdate: () => {} });
  const log = await readFile(join(home, 'runs', id, 'logs', 'probe.log'), 'utf8');
  assert.equal(outcome.status, 'COMPLETED', log);
  assert.ok(!existsSync(plan.outside));
  return log.trim().split('\n');
}

test('outside a sandbox the probe gets at all of it, so that a refusal means something', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-probe-'));
  const server = createServer((socket) => socket.end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(async () => {
    server.close();
    await rm(folder, { recursive: true, force: true });
  });
  const { port } = server.address() as { port: number };
  const plan = {
    files: { passwords: '/etc/passwd' },
    port,
    unixSocket: join(folder, 'none'),
    outside: join(folder, 'written'),
  };
  await writeFile(join(folder, 'plan.json'), JSON.stringify(plan));
  const probeProgram = join(import.meta.dirname, 'fixtures', 'probe.js');
  const { stdout } = await promisify(execFile)(process.execPath, [probeProgram, `data_silo0=${folder}`]);
  for (const thread of ['main', 'worker']) {
    for (const what of ['read passwords', 'open a socket', 'write outside', 'start a program', 'eval']) {
      assert.ok(stdout.includes(`${thread}: ${what}: done`), `${thread}: ${what}`);
    }
  }
});

const FORBIDDEN = /^(main|worker): .*: done$/;

test('in bubblewrap a training step gets at nothing but its own inputs, not even from a worker thread', {
  skip: detectSandbox() === 'bubblewrap' ? false : 'bubblewrap does not work on this machine',
}, async (context) => {
  const log = await probe(context, 'bubblewrap');
  assert.ok(log.includes('read own data: done'));
  assert.deepEqual(
    log.filter((line) => FORBIDDEN.test(line)),
    [],
  );
  assert.ok(log.filter((line) => line.startsWith('main: ')).length >= 14, log.join('\n'));
  assert.ok(
    log.some((line) => line.startsWith('worker: open a socket')),
    'the worker thread must have run',
  );
});

test('in bubblewrap a step has no capability, also as root', {
  skip: detectSandbox() === 'bubblewrap' ? false : 'bubblewrap does not work on this machine',
}, () => {
  const { file, args } = confine('bubblewrap', NOTHING, 'unused.js', []);
  const sandbox = args.slice(0, args.indexOf('--') + 1);
  const { stdout } = spawnSync(file, [...sandbox, '/bin/grep', 'CapEff', '/proc/self/status'], { encoding: 'utf8' });
  assert.match(stdout, /CapEff:\s+0+\n/);
});

test('in bubblewrap a step that may start programs sees no more, and they get the environment that was named', {
  skip: detectSandbox() === 'bubblewrap' ? false : 'bubblewrap does not work on this machine',
}, () => {
  const starts = { ...NOTHING, childProcesses: true, environment: { FEDRAD_PYTHON: '/usr/bin/python3' } };
  const { file, args, env } = confine('bubblewrap', starts, 'unused.js', []);
  assert.ok(args.includes('--allow-child-process'));
  assert.deepEqual(env, {});
  const script = 'cat /etc/passwd && echo read; ls /home /root /dev/nvidia0 && echo listed; cat /proc/net/dev; env';
  const { stdout } = spawnSync(file, [...args.slice(0, args.indexOf('--') + 1), '/bin/sh', '-c', script], {
    encoding: 'utf8',
  });
  assert.doesNotMatch(stdout, /^(read|listed)$/m);
  assert.deepEqual(
    stdout.match(/^ *\w+(?=: +\d)/gm)?.map((name) => name.trim()),
    ['lo'],
    'no network but its own',
  );
  assert.deepEqual(
    stdout
      .match(/^\w+=.*$/gm)
      ?.filter((line) => !line.startsWith('PWD='))
      .sort(),
    ['FEDRAD_PYTHON=/usr/bin/python3', 'GLIBC_TUNABLES=glibc.malloc.hugetlb=1', 'HOME=/tmp'],
  );

  const alone = confine('node-permissions', starts, 'unused.js', []);
  assert.deepEqual(alone.env, { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1', ...starts.environment });
  for (const kind of ['bubblewrap', 'node-permissions'] as const)
    assert.ok(!confine(kind, NOTHING, 'unused.js', []).args.includes('--allow-child-process'));
});

test("with Node's permissions alone a training step gets at nothing either, and gets no worker thread", async (context) => {
  const log = await probe(context, 'node-permissions');
  assert.ok(log.includes('read own data: done'));
  assert.deepEqual(
    log.filter((line) => FORBIDDEN.test(line)),
    [],
  );
  assert.ok(log.includes('worker: none'), log.join('\n'));
});
