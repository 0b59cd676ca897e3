/** @file The seed's own way to the data: credentials in the vault, an archive from the Kaggle API, a part for each hospital. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import sharp from 'sharp';
import { makeZip } from '../src/radiographs/testing.ts';
import { openCli, uploadConfig } from './cli.ts';

const KEY = 'an-api-key-that-must-not-leak';

/** A small archive laid out as Kaggle's: three splits, a second copy of all of it, and what macOS leaves. */
async function archive(): Promise<Buffer> {
  const image = (shade: number) =>
    sharp(Buffer.alloc(40 * 40, shade), { raw: { width: 40, height: 40, channels: 1 } })
      .jpeg()
      .toBuffer();
  const entries: { name: string; content: Buffer }[] = [];
  for (let i = 0; i < 40; i++) {
    const normal = `train/NORMAL/IM-${1000 + i}-0001.jpeg`;
    const ill = `train/PNEUMONIA/person${i}_virus_1.jpeg`;
    for (const top of ['chest_xray', 'chest_xray/chest_xray']) {
      entries.push(
        { name: `${top}/${normal}`, content: await image(i) },
        { name: `${top}/${ill}`, content: await image(100 + i) },
      );
    }
    entries.push({ name: `__MACOSX/chest_xray/train/NORMAL/._IM-${i}.jpeg`, content: Buffer.from('resource fork') });
  }
  entries.push({ name: 'chest_xray/train/NORMAL/IM-2000-0001.jpeg', content: (await image(7)).subarray(0, 200) });
  return makeZip(entries);
}

test('upload-data from Kaggle: credentials from the vault, a part for each hospital, the key nowhere', async (context) => {
  const zip = await archive();
  const authorization = `Basic ${Buffer.from(`doctor:${KEY}`).toString('base64')}`;
  const paths: string[] = [];
  const server = createServer((request, response) => {
    paths.push(request.url ?? '');
    if (request.headers.authorization !== authorization) return void response.writeHead(401).end();
    return void response.writeHead(200, { 'content-length': zip.length }).end(zip);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const cli = await openCli(context);
  await cli.ok('provision');
  const id = JSON.parse(await cli.ok('account', 'show', '--query', 'id')) as string;
  await cli.ok(
    'keyvault',
    'set-policy',
    '-n',
    'kv-fldemo',
    '--secret-permissions',
    'list',
    'set',
    'delete',
    '--object-id',
    id,
  );
  await cli.write('upload.yaml', uploadConfig('kaggle', `  kaggle_url: ${url}\n`));
  const submit = () =>
    cli.run(['submit', 'upload-data', '--example', 'PNEUMONIA', '--config', 'upload.yaml', '--wait']);
  const set = (name: string, value: string) =>
    cli.run(['keyvault', 'secret', 'set', '--vault-name', 'kv-fldemo', '--name', name], value);

  const without = await submit();
  assert.equal(without.code, 1);
  assert.match(without.stderr, /kaggleusername/);
  await set('kaggleusername', 'doctor');
  await set('kagglekey', 'a wrong key');
  const refused = await submit();
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /FAILED: silo_\d_upload_data: .*(401|credentials).*kagglekey/);

  await set('kagglekey', KEY);
  const { code, stdout, stderr } = await submit();
  assert.equal(code, 0, stderr);
  assert.ok(paths.every((path) => path === '/api/v1/datasets/download/paultimothymooney/chest-xray-pneumonia'));
  const datastores = join(cli.home, 'workspaces/aml-fldemo/datastores');
  const summaries = await Promise.all(
    [0, 1, 2].map(async (i) =>
      JSON.parse(
        await readFile(join(datastores, `datastore_silo${i}/federated_learning/pneumonia/summary.json`), 'utf8'),
      ),
    ),
  );
  const sum = (field: 'given' | 'used') => summaries.reduce((total, summary) => total + summary[field], 0);
  assert.deepEqual([sum('given'), sum('used')], [81, 80]);
  assert.match(JSON.stringify(summaries.map(({ leftOut }) => leftOut)), /damaged or truncated":1/);

  for (const text of [stdout, stderr]) assert.ok(!text.includes(KEY));
  for (const entry of await readdir(cli.home, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    assert.ok(!(await readFile(path, 'latin1')).includes(KEY), path);
  }
});
