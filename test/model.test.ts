/** @file A trained model in a user's hands: its card, its exports in other programs, and where it saw what it says. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import sharp from 'sharp';
import { decodeSafetensors, sha256 } from '../src/base/index.ts';
import { decodeRadiograph } from '../src/radiographs/index.ts';
import { type Cli, openCli, pneumoniaConfig, uploadConfig } from './cli.ts';
import { runOnnx, SKIP_ONNX_RUNTIME } from './onnxruntime/run.ts';

const SIZE = 32;

/** A model trained for a moment in one hospital, and that hospital's test images. */
async function trained(context: TestContext): Promise<{ cli: Cli; run: string; images: string[]; scores: number[] }> {
  const cli = await openCli(context);
  await cli.ok('provision');
  await cli.write('upload.yaml', uploadConfig('phantom:60', '', 1));
  await cli.ok('submit', 'upload-data', '--example', 'PNEUMONIA', '--config', 'upload.yaml', '--wait');
  await cli.write('config.yaml', pneumoniaConfig('  threshold: 0.4\n', 1));
  const { id: run } = JSON.parse(await cli.ok('submit', 'pneumonia', '--config', 'config.yaml', '--wait', '--json'));
  const folder = join(cli.home, 'workspaces/aml-fldemo/datastores/datastore_silo0/federated_learning/pneumonia/test');
  const images = (await readdir(folder, { recursive: true }))
    .filter((name) => name.endsWith('.png'))
    .map((name) => join(folder, name));
  assert.ok(images.length >= 2);
  const predicted = JSON.parse(await cli.ok('model', 'predict', '--model', run, '--json', ...images));
  const scores = predicted.map(({ probability }: { probability: number }) => probability);
  return { cli, run, images, scores };
}

test('a model has its card, is exported, and shows what it saw', async (context) => {
  const { cli, run, images, scores } = await trained(context);
  const pixels = new Uint8Array(Buffer.concat(await Promise.all(images.map((path) => decodeRadiograph(path, SIZE)))));
  const near = (actual: ArrayLike<number>): void => {
    assert.equal(actual.length, scores.length);
    for (const [index, score] of scores.entries()) assert.ok(Math.abs(actual[index]! - score) < 1e-5);
  };

  await context.test('safetensors: the same parameters, loaded by PyTorch', async (inner) => {
    const result = JSON.parse(
      await cli.ok('model', 'export', '--model', run, '--format', 'safetensors', '--output', 'm.safetensors', '--json'),
    );
    const bytes = await readFile(join(cli.folder, 'm.safetensors'));
    assert.equal(result.sha256, sha256(bytes));
    const { metadata } = decodeSafetensors(bytes, 'm.safetensors');
    assert.deepEqual([metadata['run'], metadata['model_sha256']], [run, result.modelSha256]);
    const card = JSON.parse(await readFile(join(cli.folder, 'm.safetensors.card.json'), 'utf8'));
    assert.deepEqual([metadata['threshold'], card.test.threshold], ['0.4', 0.4]);
    // The exported file is a model of fedrad too, and has its card.
    const again = JSON.parse(await cli.ok('model', 'predict', '--model', './m.safetensors', '--json', images[0]!));
    assert.equal(again[0].probability, scores[0]);
    const python = ['/usr/bin/python3', 'python3'].find((name) => spawnSync(name, ['-c', 'import torch']).status === 0);
    if (python === undefined) return inner.skip('PyTorch is not installed');
    await writeFile(join(cli.folder, 'pixels'), pixels);
    const script = join(import.meta.dirname, 'state_dict.py');
    const printed = execFileSync(python, [script, 'm.safetensors', 'pixels'], { cwd: cli.folder, encoding: 'utf8' });
    near(JSON.parse(printed)[0]);
  });

  await context.test('the card is beside the exported file and comes from the command line', async () => {
    const text = await readFile(join(cli.folder, 'm.safetensors.card.md'), 'utf8');
    assert.match(text, /# Pneumonia on chest radiographs/);
    assert.match(text, new RegExp(`Run \`${run}\``));
    const json = JSON.parse(await cli.ok('model', 'card', '--model', run, '--which', 'last', '--json'));
    assert.deepEqual([json.model.chosen, json.model.iteration, json.synthetic], ['last', 2, true]);
    assert.equal(json.training.lr, 0.01);
    // Counts left the hospital. Nothing of an image, a patient or this machine.
    for (const card of [text, JSON.stringify(json)]) {
      assert.ok(!card.includes(cli.folder) && !card.includes('datastore'));
      assert.doesNotMatch(card, /person|\.png/);
    }
    assert.ok(!('histogram' in json.hospitals[0].test));
  });

  await context.test('ONNX: the same probabilities in ONNX Runtime', { skip: SKIP_ONNX_RUNTIME }, async () => {
    await cli.ok('model', 'export', '--model', run, '--format', 'onnx', '--output', 'm.onnx');
    const { probabilities } = await runOnnx(await readFile(join(cli.folder, 'm.onnx')), pixels, SIZE);
    near(probabilities!.data.filter((_, index) => index % 2 === 1));
  });

  await context.test('a card goes with its own model only', async () => {
    const exported = async (model: readonly string[], output: string): Promise<{ card: string | null }> =>
      JSON.parse(
        await cli.ok('model', 'export', '--model', ...model, '--format', 'safetensors', '--output', output, '--json'),
      );
    // Another model and format under the same stem has a card of its own; an export of an export is the same model still.
    await cli.ok('model', 'export', '--model', run, '--which', 'last', '--format', 'onnx', '--output', 'm.onnx');
    assert.equal((await exported(['./m.safetensors'], 'again.safetensors')).card, 'again.safetensors.card.md');
    for (const [name, chosen] of [
      ['m.safetensors', 'best'],
      ['m.onnx', 'last'],
      ['again.safetensors', 'best'],
    ] as const) {
      const card = JSON.parse(await readFile(join(cli.folder, `${name}.card.json`), 'utf8'));
      assert.equal(card.model.chosen, chosen, name);
    }
    // Beside another model it is refused, before anything is written.
    const at = (name: string): string => join(cli.folder, name);
    const foreign = JSON.parse(await readFile(at('again.safetensors.card.json'), 'utf8'));
    foreign.model.sha256 = sha256('another model');
    await writeFile(at('again.safetensors.card.json'), JSON.stringify(foreign));
    for (const command of [['card'], ['export', '--format', 'onnx', '--output', 'no.onnx']])
      assert.match(
        await cli.fails('model', ...command, '--model', './again.safetensors'),
        /it is the card of another model than again.safetensors/,
      );
    // A model without a card does not get that of the model that it replaces.
    await copyFile(at('m.safetensors'), at('bare.safetensors'));
    assert.equal((await exported(['./bare.safetensors'], 'again.safetensors')).card, null);
    const names = await readdir(cli.folder);
    assert.deepEqual(
      names.filter((name) => /^again|^no/.test(name)),
      ['again.safetensors'],
    );
  });

  await context.test('what cannot be exported is refused in one line', async () => {
    const fails = (...more: string[]) => cli.fails('model', 'export', '--model', run, '--format', 'onnx', ...more);
    assert.match(
      await fails('--output', 'no/such/folder/m.onnx'),
      /cannot be written: ENOENT \(make its folder first\)/,
    );
    const over = ['--format', 'safetensors', '--output', 'm.safetensors'];
    assert.match(await cli.fails('model', 'export', '--model', './m.safetensors', ...over), /this is the model itself/);
    await cli.write('bare.txt', 'no model');
    assert.match(await cli.fails('model', 'card', '--model', './bare.txt'), /no model card lies beside this model/);
    // Where the card cannot be written the model is not either.
    await mkdir(join(cli.folder, 'half.onnx.card.md'));
    assert.match(await fails('--output', 'half.onnx'), /half.onnx.card.md: it cannot be written: EISDIR/);
    const left = await readdir(cli.folder);
    assert.ok(left.every((name) => !name.endsWith('.part') && name !== 'half.onnx'));
  });

  await context.test('what is said besides the figures: threshold, phantoms, what could not be read', async () => {
    const model = ['--model', './m.safetensors'];
    await cli.write('text.png', 'no image');
    const files = [images[0]!, 'nope.jpg', 'home', 'text.png'];
    const plain = await cli.run(['model', 'predict', ...model, ...files]);
    assert.equal(plain.code, 1);
    assert.match(plain.stdout, /unreadable: no such file\n.*unreadable: a folder, not an image\n.*not a JPEG or PNG\n/);
    assert.match(plain.stdout, /from 0\.4 on counts as PNEUMONIA \(the model's own threshold\)/);
    assert.match(plain.stderr, /^warning: this model was trained on synthetic images.*\n$/);
    const json = JSON.parse(await cli.ok('model', 'predict', ...model, '--threshold', '0.7', '--json', images[0]!));
    assert.deepEqual([json[0].threshold, json[0].thresholdFrom], [0.7, 'option']);

    for (const label of ['NORMAL', 'PNEUMONIA']) await mkdir(join(cli.folder, 'one', label), { recursive: true });
    await copyFile(images[0]!, join(cli.folder, 'one/NORMAL/a.png'));
    const evaluate = ['model', 'evaluate', ...model, '--data', 'one'];
    assert.match(await cli.fails(...evaluate), /found NORMAL\/ but no file in PNEUMONIA\/ beside it/);
    await cli.write('one/PNEUMONIA/b.png', 'no image');
    const oneClass = await cli.run(evaluate);
    assert.equal(oneClass.code, 1, 'an image could not be read');
    assert.match(oneClass.stdout, /Every image that could be read is NORMAL: the AUROC and the sensitivity need/);
    assert.match(oneClass.stdout, /the model's own threshold/);
    assert.match(oneClass.stderr, /unreadable: one.PNEUMONIA.b\.png: not a JPEG or PNG/);
    const { stdout } = await cli.run([...evaluate, '--json']);
    assert.deepEqual([JSON.parse(stdout).unreadable, JSON.parse(stdout).thresholdFrom], [1, 'model']);
  });

  await context.test('a model that is not there', async () => {
    const card = (model: string) => cli.fails('model', 'card', '--model', model);
    assert.match(await card('m.pt'), /m\.pt: no such file \(give a model\.safetensors/);
    // The run that gave the hospitals their images has no model.
    const unknown = await card('calm_lung_000000');
    assert.ok(unknown.endsWith(`no such run, file or folder (runs with a model: ${run})`), unknown);
  });

  await context.test('a place that cannot be written to is refused in one line, and does not hang', async () => {
    const report = (output: string) => cli.fails('run', 'report', '--output', output);
    assert.match(await report('nope/x.html'), /x\.html: it cannot be written: ENOENT \(make its folder first\)/);
    assert.match(await report('home'), /it cannot be written: \w+ \(give the name of a file\)/);
    if (process.platform !== 'linux') return;
    assert.match(await report('/proc/x.html'), /cannot be written/);
    // Node's recursive mkdir would spin here for ever.
    assert.match(
      await cli.fails('model', 'predict', '--model', run, '--explain', '/proc/x', images[0]!),
      /\/proc\/x: expected a folder that this user can write to/,
    );
    assert.match(await cli.fails('demo', '--folder', '/proc/x'), /\/proc\/x: expected a folder/);
    assert.match(
      await cli.fails('model', 'export', '--model', run, '--format', 'onnx', '--output', '/proc/x'),
      /cannot/,
    );
  });

  await context.test('a picture for each image, never over another file', async () => {
    const other = join(cli.folder, 'other');
    await mkdir(other);
    const odd = join(other, 'a b; $x.png');
    await copyFile(images[1]!, odd);
    const twin = join(other, images[0]!.split(/[/\\]/).at(-1)!);
    await copyFile(images[0]!, twin);
    await writeFile(join(other, 'broken.png'), 'no image');
    const paths = [images[0]!, twin, odd, join(other, 'broken.png')];
    const { code, stdout } = await cli.run([
      'model',
      'predict',
      '--model',
      run,
      '--explain',
      'seen',
      '--json',
      ...paths,
    ]);
    assert.equal(code, 1, 'one image cannot be read');
    const rows = JSON.parse(stdout) as { explanation?: string }[];
    const stem = images[0]!.split(/[/\\]/).at(-1)!.replace('.png', '');
    assert.deepEqual(
      rows.map(({ explanation }) => explanation),
      [`${stem}.cam.png`, `${stem}-2.cam.png`, 'a_b___x.cam.png', undefined].map((name) => name && join('seen', name)),
    );
    for (const { explanation } of rows.slice(0, 3)) {
      const { format, width, height } = await sharp(join(cli.folder, explanation!)).metadata();
      assert.deepEqual([format, width], ['png', 640]);
      assert.ok(height! > 640);
    }
    assert.match(
      await cli.fails('model', 'predict', '--model', run, '--explain', 'seen', images[0]!),
      /there is such a file already/,
    );
  });
});
