/**
 * @file Images that lie in datastores already, as the source of data upload: on this machine and on the stand-in for Azure ML with Azurite
 * the hospitals end with the same files. Nothing here was seen on Azure.
 */
import assert from 'node:assert/strict';
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openBlobDatastore } from '../../src/azure/index.ts';
import { makeZip } from '../../src/radiographs/testing.ts';
import { openDirectoryDatastore } from '../../src/workspace/index.ts';
import { openCli, uploadConfig } from '../cli.ts';
import { withoutAzurite } from './azurite.ts';
import { containerOf } from './machine-learning-executor.ts';
import { ON_AZURE, startSandbox } from './sandbox.ts';

const UPLOAD = ['submit', 'upload-data', '--example', 'PNEUMONIA', '--config', 'upload.yaml'];
const HERE = ['--workspace_name', 'aml-fldemo'];
const DATA = 'federated_learning/pneumonia';
const SILOS = ['silo0', 'silo1', 'silo2'];

test('images in datastores, of each silo its own or one archive for all', { skip: withoutAzurite }, async (context) => {
  const { environment, machineLearning, workspace } = await startSandbox(context);
  const here = await openCli(context);
  const azure = await openCli(context, environment);
  await here.ok('provision');
  const local = (name: string) =>
    openDirectoryDatastore(name, join(here.home, 'workspaces/aml-fldemo/datastores', `datastore_${name}`));
  const remote = (name: string) =>
    openBlobDatastore(name, containerOf(machineLearning, workspace.datastores.get(`datastore_${name}`)!));
  const submit = async (source: string): Promise<{ own: number[]; sha256: string[] }> => {
    for (const [cli, where] of [[here, HERE] as const, [azure, ON_AZURE] as const]) {
      await cli.write('upload.yaml', uploadConfig(source));
      await cli.ok(...UPLOAD, ...where, '--wait');
    }
    const [own, sha256]: [number[], string[]] = [[], []];
    for (const name of SILOS) {
      const datastore = await local(name);
      const summary = JSON.parse(await readFile(datastore.localPath(`${DATA}/summary.json`), 'utf8')) as {
        used: number;
      };
      own.push(summary.used);
      sha256.push((await datastore.hash(DATA)).sha256);
      assert.equal((await remote(name).hash(DATA)).sha256, sha256.at(-1));
      // Azure ML writes over what lies there, and leaves the rest.
      await remote(name).remove(DATA);
    }
    return { own, sha256 };
  };

  await here.write('upload.yaml', uploadConfig('phantom:24'));
  await here.ok(...UPLOAD, ...HERE, '--wait');
  const entries: { name: string; content: Buffer }[] = [];
  const counts: number[] = [];
  for (const name of SILOS) {
    const datastore = await local(name);
    const images = join(here.folder, name);
    await mkdir(images);
    for (const label of ['NORMAL', 'PNEUMONIA']) {
      await cp(datastore.localPath(`${DATA}/train/${label}`), join(images, label), { recursive: true });
      for (const file of await readdir(join(images, label))) {
        const content = await readFile(join(images, label, file));
        entries.push({ name: `${label}/${name}-${file}`, content });
      }
    }
    await cp(images, `${images}-copy`, { recursive: true });
    await datastore.publish(images, 'incoming/2026');
    await remote(name).publish(`${images}-copy`, 'incoming/2026');
    counts.push((await datastore.list('incoming/2026')).length);
    await datastore.remove(DATA);
  }
  // Each keeps all of its own.
  const own = await submit('azureml://datastores/${{silo.datastore}}/paths/incoming/2026');
  assert.deepEqual(own.own, counts);

  // Of an archive for all, each keeps its part.
  for (const datastore of [await local('orchestrator'), remote('orchestrator')]) {
    const archive = join(here.folder, 'all.zip');
    await writeFile(archive, makeZip(entries));
    await datastore.publish(archive, 'all.zip');
  }
  const dealt = await submit('azureml://datastores/datastore_orchestrator/paths/all.zip');
  assert.equal(
    dealt.own.reduce((sum, each) => sum + each),
    entries.length,
  );
  assert.ok(dealt.own.every((each) => each < entries.length));

  await here.write('upload.yaml', uploadConfig('azureml://datastores/${{silo.datastore}}/paths/elsewhere'));
  assert.match(
    await here.fails(...UPLOAD, ...HERE),
    /upload\.yaml: data\.source: nothing lies at azureml:\/\/datastores/,
  );
  await azure.write('upload.yaml', uploadConfig('azureml://datastores/datastore_other/paths/all.zip'));
  assert.match(await azure.fails(...UPLOAD, ...ON_AZURE), /data\.source: .* no datastore "datastore_other"/);
  await azure.write('upload.yaml', uploadConfig(`folder:${here.folder}`));
  assert.match(
    await azure.fails(...UPLOAD, ...ON_AZURE),
    /silos on Azure cannot see it \(az storage blob upload-batch/,
  );
});
