/**
 * @file The seed's step 3 on the stand-ins: Kaggle's credentials in the workspace's key vault, read by each silo's compute as its own identity
 * and lent to its step, which downloads from a loopback Kaggle and uploads to its own storage. The key is nowhere else.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import sharp from 'sharp';
import { makeZip } from '../../src/radiographs/testing.ts';
import { openCli, uploadConfig } from '../cli.ts';
import { withoutAzurite } from './azurite.ts';
import { containerOf } from './machine-learning-executor.ts';
import { ON_AZURE, startSandbox } from './sandbox.ts';
import { CALLER } from './stand-in.ts';

const KEY = 'an-api-key-that-must-not-leak';

test('upload-data from Kaggle on Azure: each silo reads the key as its compute, and lends it to its step', {
  skip: withoutAzurite,
}, async (context) => {
  const entries: { name: string; content: Buffer }[] = [];
  for (let i = 0; i < 30; i++) {
    const raw = { width: 40, height: 40, channels: 1 } as const;
    const content = await sharp(Buffer.alloc(1600, 3 * i), { raw })
      .jpeg()
      .toBuffer();
    const name = i % 2 === 0 ? `NORMAL/IM-${1000 + i}-0001.jpeg` : `PNEUMONIA/person${i}_virus_1.jpeg`;
    entries.push({ name: `chest_xray/train/${name}`, content });
  }
  const zip = await makeZip(entries);
  const authorization = `Basic ${Buffer.from(`doctor:${KEY}`).toString('base64')}`;
  let downloads = 0;
  const server = createServer((request, response) => {
    if (request.headers.authorization !== authorization) return void response.writeHead(401).end();
    downloads += 1;
    return void response.writeHead(200, { 'content-length': zip.length }).end(zip);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());

  const { environment, vault, workspace, machineLearning } = await startSandbox(context);
  const cli = await openCli(context, environment);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await cli.write('upload.yaml', uploadConfig('kaggle', `  kaggle_url: ${url}\n`));
  const upload = ['submit', 'upload-data', '--example', 'PNEUMONIA', '--config', 'upload.yaml', ...ON_AZURE, '--wait'];
  const set = (name: string, value: string) =>
    cli.run(['keyvault', 'secret', 'set', '--vault-name', 'kv-fldemo', '--name', name], value);

  const without = await cli.run(upload);
  assert.equal(without.code, 1);
  assert.match(without.stderr, /key vault "kv-fldemo": no secret "kaggleusername"/);
  await cli.ok(
    ...['keyvault', 'set-policy', '-n', 'kv-fldemo', '--secret-permissions', 'list', 'set', 'delete'],
    ...['--object-id', CALLER.objectId, '--subscription', vault.subscription],
  );
  await set('kaggleusername', 'doctor');
  assert.equal((await set('kagglekey', KEY)).code, 0);

  const { code, stdout, stderr } = await cli.run(upload);
  assert.equal(code, 0, stderr);
  assert.equal(downloads, 3);
  for (const [name, store] of workspace.datastores) {
    if (name === 'datastore_orchestrator') continue;
    const summary = containerOf(machineLearning, store).getBlobClient('federated_learning/pneumonia/summary.json');
    assert.ok(await summary.exists(), name);
  }
  const jobs = [...workspace.jobs.values()].map(({ body, children }) => ({ body, children }));
  assert.ok(jobs.length > 0);
  const tracked = [...machineLearning.tracking!.mlflow.runs.values()];
  const params = tracked.flatMap(({ params: own, tags }) => [...own, ...tags]);
  assert.ok(params.length > 0);
  for (const said of [stdout, stderr, [...workspace.components], jobs, params])
    assert.ok(!JSON.stringify(said).includes(KEY));
  let logs = 0;
  for (const store of [...workspace.datastores.values(), workspace.logs]) {
    const container = containerOf(machineLearning, store);
    for await (const { name } of container.listBlobsFlat()) {
      const content = await container.getBlobClient(name).downloadToBuffer();
      assert.ok(!content.toString('latin1').includes(KEY), name);
      if (name.endsWith('std_log.txt')) logs += 1;
    }
  }
  // Of the upload that was refused the first silo's alone.
  assert.equal(logs, 4);
  for (const entry of await readdir(cli.home, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) assert.ok(!(await readFile(path, 'latin1')).includes(KEY), path);
  }
});
