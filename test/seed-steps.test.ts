/** @file The Azure ML example's page, step by step, with its words; and what goes wrong, in one line each. */
import assert from 'node:assert/strict';
import { readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Command } from 'commander';
import { program as commands } from '../src/cli/program.ts';
import { openCli, pneumoniaConfig, uploadConfig } from './cli.ts';

const WORKSPACE = ['--workspace_name', 'aml-fldemo', '--resource_group', 'rg', '--subscription_id', 's'];

async function filesUnder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

test('the steps of the page: provision, object id, policy, secrets, both pipelines offline', async (context) => {
  const cli = await openCli(context);
  assert.match(await cli.ok('provision'), /silo2-01 .* westeurope/);
  assert.match(await cli.ok('provision'), /nothing changed/);
  const id = JSON.parse(await cli.ok('account', 'show', '--query', 'id')) as string;
  assert.match(id, /^[0-9a-f-]{36}$/);

  const denied = await cli.fails('keyvault', 'secret', 'list', '--vault-name', 'kv-fldemo');
  const command = /\(fedrad (.*)\)/.exec(denied)![1]!.split(' ');
  assert.deepEqual(command.slice(0, 4), ['keyvault', 'set-policy', '-n', 'kv-fldemo']);
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
  await cli.ok(
    'keyvault',
    'secret',
    'set',
    '--vault-name',
    'kv-fldemo',
    '--name',
    'kaggleusername',
    '--value',
    'some-user-name',
  );
  await cli.run(['keyvault', 'secret', 'set', '--vault-name', 'kv-fldemo', '--name', 'kagglekey'], 'some-kaggle-key\n');
  const listed = JSON.parse(await cli.ok('keyvault', 'secret', 'list', '--vault-name', 'kv-fldemo', '--json')) as {
    name: string;
  }[];
  assert.deepEqual(
    listed.map(({ name }) => name),
    ['kagglekey', 'kaggleusername'],
  );
  assert.match(
    await cli.fails('keyvault', 'secret', 'show', '--vault-name', 'kv-fldemo', '--name', 'kagglekey'),
    /no permission to get/,
  );

  for (const pipeline of [['upload-data', '--example', 'PNEUMONIA'], ['pneumonia']]) {
    assert.match(
      await cli.ok('submit', ...pipeline, ...WORKSPACE, '--offline'),
      /checked against the workspace aml-fldemo .*\nThe pipeline was NOT submitted/,
    );
  }
  for (const file of await filesUnder(cli.home)) {
    assert.doesNotMatch(await readFile(file, 'latin1'), /some-user-name|some-kaggle-key/, file);
    if (/key/.test(file) && !file.endsWith('.json')) assert.equal((await stat(file)).mode & 0o077, 0, file);
  }
});

test('keys that have no effect where a run goes are named, not ignored in silence', async (context) => {
  const cli = await openCli(context);
  await cli.ok('provision');
  const config = pneumoniaConfig().replace(
    'computes: [silo1-01]',
    'computes: [silo1-01, silo2-01]\n      instance_count: 2',
  );
  await cli.write('config.yaml', config);
  const { code, stderr } = await cli.run(['submit', 'pneumonia', '--config', 'config.yaml', '--offline']);
  assert.equal(code, 0, stderr);
  assert.deepEqual(stderr.trim().split('\n'), [
    'note: config.yaml: federated_learning.silos[1].instance_count is for Azure ML and has no effect on this machine',
    "note: config.yaml: federated_learning.silos[1].computes[1] has no effect: a silo's steps run on its first compute",
  ]);
  const onAzure = await cli.run(['submit', 'pneumonia', '--config', 'config.yaml', '--offline', '--target', 'azure']);
  assert.deepEqual(onAzure.stderr.trim().split('\n'), [
    "note: config.yaml: federated_learning.silos[1].computes[1] has no effect: a silo's steps run on its first compute",
    'note: instance_count: a step of fedrad uses one node, so one is asked for',
  ]);
});

/** A command and all below it, each with its help. */
function helps(command: Command): (readonly [string, string])[] {
  let text = '';
  command.configureOutput({
    getOutHelpWidth: () => 80,
    writeOut: (more) => {
      text += more;
    },
  });
  command.outputHelp();
  const below = command.commands.flatMap(helps).map(([name, help]) => [`${command.name()} ${name}`, help] as const);
  return [[command.name(), text], ...below];
}

test('every command has help with an example', async (context) => {
  const all = helps(await commands());
  assert.ok(all.length >= 27 && all.some(([name]) => name === 'fedrad keyvault secret set'));
  for (const [name, help] of all) assert.match(help, /Example:\n {2}fedrad/, name);
  const cli = await openCli(context);
  assert.equal(await cli.ok('keyvault', 'secret', '--help'), new Map(all).get('fedrad keyvault secret'));
});

test('bad input is one line that says where, what and what to do', async (context) => {
  const cli = await openCli(context);
  const submit = async (config: string, ...more: string[]) => {
    await cli.write('config.yaml', config);
    return cli.fails('submit', 'pneumonia', '--config', 'config.yaml', '--wait', ...more);
  };
  assert.match(await submit(pneumoniaConfig()), /no workspace.*\(fedrad provision\)/);
  await cli.ok('provision');
  const nowhere = await submit(pneumoniaConfig(), '--workspace_name', 'aml-fldmo');
  assert.match(nowhere, /no workspace "aml-fldmo"; did you mean aml-fldemo\?/);
  assert.match(
    await submit(pneumoniaConfig().replaceAll('datastore_silo1', 'datastore_silo9')),
    /config.yaml: federated_learning.silos\[1\].datastore: no datastore "datastore_silo9"; did you mean/,
  );
  const wrong = [
    [
      'datastore: datastore_silo1',
      'datastore: datastore_silo0',
      /silos\[1\].datastore: "datastore_silo0" is also the datastore of silos\[0\]/,
    ],
    ['channels: [8, 8, 16]', 'channels: [0, 8, 8]', /config.yaml: training_parameters.channels\[0\]: /],
    [
      'azureml://datastores/datastore_silo0/',
      'azure://',
      /config.yaml: federated_learning.silos\[0\].silo_data.path: expected a path in a datastore/,
    ],
  ] as const;
  for (const [from, to, message] of wrong) assert.match(await submit(pneumoniaConfig().replace(from, to)), message);
  const upload = async (source: string, more = '') => {
    await cli.write('upload.yaml', uploadConfig(source, more));
    return cli.fails('submit', 'upload-data', '--example', 'PNEUMONIA', '--config', 'upload.yaml', '--offline');
  };
  assert.match(await upload('folder:nowhere'), /upload.yaml: data.source: cannot read .*nowhere/);
  assert.match(await upload('ftp:x'), /upload.yaml: data.source: expected kaggle/);
  assert.match(
    await upload('folder:.', '  partition: {method: round-robin, size_skew: [1, 2, 3]}\n'),
    /data.partition.size_skew: round-robin deals evenly/,
  );
  assert.match(
    await submit(pneumoniaConfig().replace('silo2-01', 'silo7-01')),
    /silos\[2\].computes\[0\]: no compute "silo7-01"/,
  );
  assert.match(
    await submit(pneumoniaConfig().replace('datastore_silo1/paths', 'datastore_silo2/paths')),
    /silos\[1\].silo_data.path: it lies in datastore_silo2, and the silo's datastore is datastore_silo1/,
  );
  assert.match(await submit(pneumoniaConfig()), /nothing lies at azureml:.*fedrad submit upload-data/);
  assert.match(await submit(pneumoniaConfig('  dp: true')), /differential privacy .* not available/);
  assert.match(
    await cli.fails('submit', 'pneumonia', '--config', 'missing.yaml'),
    /missing.yaml: cannot read the config/,
  );
  assert.match(await cli.fails('run', 'show'), /there is no run yet/);
  assert.match(await cli.fails('model', 'predict', '--model', './nothing', 'x.png'), /nothing: no such file/);
  await writeFile(join(cli.folder, 'model.safetensors'), 'not a model');
  assert.match(
    await cli.fails('model', 'predict', '--model', './model.safetensors', 'x.png'),
    /not a safetensors file/,
  );
  await cli.write('upload.yaml', uploadConfig(`folder:${cli.folder}/home`));
  assert.match(await cli.ok('run', 'list'), /no runs yet/);
  const { code, stderr } = await cli.run([
    'submit',
    'upload-data',
    '--example',
    'PNEUMONIA',
    '--config',
    'upload.yaml',
    '--wait',
  ]);
  assert.equal(code, 1);
  assert.match(stderr, /FAILED: silo_\d_upload_data: folder .*: .*NORMAL/);
  assert.doesNotMatch(stderr, /trying again/);
  const { code: usage } = await cli.run(['submit', 'pneumonia', '--no-such-option']);
  assert.equal(usage, 1);
});

test('an update with NaN stops the run with the name of the silo', async (context) => {
  const cli = await openCli(context);
  await cli.ok('provision');
  await cli.write('upload.yaml', uploadConfig('phantom:40'));
  await cli.ok('submit', 'upload-data', '--example', 'PNEUMONIA', '--config', 'upload.yaml', '--wait');
  // A pull this strong throws the weights further each time, whatever was drawn: they overflow in the first epoch.
  await cli.write('config.yaml', pneumoniaConfig('  lr: 10\n  proximal_mu: 1e30'));
  const { code, stderr } = await cli.run(['submit', 'pneumonia', '--config', 'config.yaml', '--wait']);
  assert.equal(code, 1);
  assert.match(
    stderr,
    /FAILED: iteration_1_silo\d_training: training: the loss is (NaN|Infinity) in epoch \d, batch \d+ \(lower the learning rate\)/,
  );
});

test('shares of the same images that were not dealt together are refused: a patient could be in two hospitals', async (context) => {
  const cli = await openCli(context);
  await cli.ok('provision');
  await cli.write('phantoms.yaml', uploadConfig('phantom:60', '', 1));
  await cli.ok('submit', 'upload-data', '--example', 'PNEUMONIA', '--config', 'phantoms.yaml', '--wait');
  const images = join(cli.folder, 'images');
  await rename(
    join(cli.home, 'workspaces/aml-fldemo/datastores/datastore_silo0/federated_learning/pneumonia/train'),
    images,
  );
  const upload = async (silos: number) => {
    await cli.write('upload.yaml', uploadConfig(`folder:${images}`, '', silos));
    await cli.ok('submit', 'upload-data', '--example', 'PNEUMONIA', '--config', 'upload.yaml', '--wait');
  };
  await cli.write('config.yaml', pneumoniaConfig());
  await upload(3);
  await upload(1);
  const line = await cli.fails('submit', 'pneumonia', '--config', 'config.yaml', '--wait');
  assert.match(line, /data of silo0 and silo1: both hold shares of the same images, but not of one deal/);
});
