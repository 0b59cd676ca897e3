/** @file What the PyTorch trainer refuses, in one line and with exit code 3, and that it leaves no process behind. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeSafetensors, type ParameterSet } from '../../base/index.ts';
import { augmentationSchema, initialParameters, pneumoniaNetwork } from '../../engine/index.ts';
import { pytorchTrainParameters } from '../specs.ts';
import { REFUSED } from '../step-process.ts';
import { findTorch } from './find-torch.ts';
import { hospital, inPython, startStep, type Trained, trainInStep, trainInTorch, withoutTorch } from './testing.ts';

const network = pneumoniaNetwork({ imageSize: 16, channels: [8], hidden: 32, dropout: 0.5 });
const parameters = initialParameters(network, 1);
const data = {
  images: Uint8Array.from({ length: 6 * 256 }, (_, i) => (i * 37) % 256),
  labels: Uint8Array.of(0, 1, 1, 0, 1, 0),
};
const opened = (context: TestContext) => hospital(context, { network, parameters }, data);

test('a model is read and written again to the same bytes', { skip: withoutTorch }, async (context) => {
  const at = await opened(context);
  const file = join(at.checkpoint, 'model.safetensors');
  // Also with names that JSON escapes, and tensors without elements or axes.
  const odd = new Map([
    ['a "b"\n\u0001ä', { shape: [2, 0], data: new Float32Array() }],
    ['scalar', { shape: [], data: Float32Array.of(-0) }],
  ]);
  const bytes = encodeSafetensors({ parameters: odd, metadata: { z: 'ü\t', a: '' } });
  await writeFile(join(at.folder, 'odd'), bytes);
  await inPython('[t.write_safetensors(file + "2", *t.read_safetensors(file)) for file in given]', [
    file,
    join(at.folder, 'odd'),
  ]);
  assert.deepEqual(await readFile(`${file}2`), await readFile(file));
  assert.deepEqual(await readFile(join(at.folder, 'odd2')), Buffer.from(bytes));
});

test('damaged files and models of another network are refused', { skip: withoutTorch }, async (context) => {
  const at = await opened(context);
  const good = await readFile(join(at.checkpoint, 'model.safetensors'));
  const headerBytes = Number(good.readBigUInt64LE(0));
  const header = JSON.parse(good.subarray(8, 8 + headerBytes).toString());
  const body = good.subarray(8 + headerBytes);
  const withHeader = (text: string, rest: Uint8Array = body) => {
    const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(padded.length));
    return Buffer.concat([length, padded, rest]);
  };
  const changed = (name: string, change: object | undefined) =>
    withHeader(JSON.stringify({ ...header, [name]: change && { ...header[name], ...change } }));
  const model = (of: unknown, tensors: ParameterSet = parameters, text = JSON.stringify(of)) =>
    encodeSafetensors({ parameters: tensors, metadata: { fedrad: '1', network: text } });
  const named = (name: string, fill: number) =>
    new Map([...parameters, [name, { shape: [32], data: new Float32Array(32).fill(fill) }]]);
  const layers = network.layers as readonly object[];
  const norm = (groups: number) => ({ op: 'group_norm', name: 'gn', num_groups: groups, eps: 1e-5 });
  const narrow = [{ op: 'max_pool2d', kernel_size: [15, 15], padding: [0, 0] }, ...layers];
  const nested = (depth: number): object =>
    depth === 0 ? { op: 'relu' } : { op: 'residual', body: [nested(depth - 1)], shortcut: [] };
  const wide = { op: 'residual', body: Array.from({ length: 2000 }, () => ({ op: 'relu' })), shortcut: [] };
  const deep = '['.repeat(100_000);
  /** Layer, what it is given, what is said. */
  const ranges: readonly [number, object, RegExp][] = [
    [0, { stride: [0, 1] }, /layers\[0\].*: stride: expected two whole numbers from 1 to 8, got \[0, 1\]/],
    [0, { stride: 1 }, /stride: expected two whole numbers/],
    [0, { padding: [1e6, 1] }, /padding: expected two whole numbers from 0 to 14/],
    [0, { groups: 0 }, /groups: expected a whole number from 1 to 2048, got 0/],
    [0, { out_channels: 2.5 }, /out_channels: expected/],
    [0, { out_channels: true }, /out_channels: expected/],
    [0, { bias: 1 }, /bias: expected true or false/],
    [0, { name: 'a b' }, /name: expected letters/],
    [0, { name: null }, /name: expected letters/],
    [0, { kernel_size: undefined }, /kernel_size is missing/],
    [1, { op: ['relu'] }, /layer \["relu"\] is not known/],
    [1, { op: 'group_norm', name: 'gn', num_groups: 0, eps: 1e-5 }, /num_groups: expected/],
    [1, { op: 'batch_norm2d', name: 'bn', momentum: 0.1, eps: 0 }, /eps: expected a number above 0 up to 1, got 0/],
    [1, { op: 'dropout', p: 1 }, /p: expected a number from 0 to 0\.9, got 1/],
    [2, { padding: [2, 1] }, /layers\[2\]\.padding is more than half the kernel/],
    [1, { op: 'residual', body: [], shortcut: [] }, /body: expected layers/],
  ];
  const cases: readonly [string, Uint8Array, RegExp][] = [
    ['cut short', good.subarray(0, -4), /does not fit its offsets/],
    ['too long', Buffer.concat([good, Buffer.alloc(4)]), /4 bytes after the last tensor/],
    ['empty', new Uint8Array(), /0 bytes long/],
    ['a long header', Buffer.concat([Buffer.alloc(8, 255), good]), /header of \d+ bytes/],
    ['no JSON', withHeader('{"conv1.weight": NaN}'), /not a JSON object/],
    [
      'a key twice',
      withHeader(`{"a":1,${JSON.stringify(header).slice(1).replace('{', '{"a":1,"a":2,')}`),
      /not a JSON object/,
    ],
    ['half precision', changed('fc1.bias', { dtype: 'F16' }), /dtype F16, expected F32/],
    ['a negative size', changed('fc1.bias', { shape: [-32] }), /no valid shape/],
    ['a size of text', changed('fc1.bias', { shape: ['32'] }), /no valid shape/],
    ['an overlap', changed('fc2.bias', { data_offsets: [0, 8] }), /overlap or leave a hole/],
    ['no metadata', changed('__metadata__', undefined), /does not name a network/],
    ['a NaN', model(network, named('fc1.bias', Number.NaN)), /"fc1.bias" is not finite/],
    ['one too many', model(network, named('fc3.bias', 0)), /unexpected parameter "fc3.bias"/],
    ['one missing', model(network, new Map([...parameters].slice(1))), /"conv1.weight" is missing/],
    [
      'other shapes',
      model({ ...network, imageSize: 24 }),
      /"fc1.weight": expected shape \[32, 1152\], got \[32, 512\]/,
    ],
    [
      'an unknown layer',
      model({ ...network, layers: [{ op: 'attention' }, ...layers] }),
      /layer "attention" is not known/,
    ],
    [
      'an unknown option',
      model({ ...network, layers: [{ ...layers[0], dilation: 2 }, ...layers.slice(1)] }),
      /options that are not known/,
    ],
    ['too small an image', model({ ...network, imageSize: 0 }), /network is not valid/],
    [
      'another normalisation',
      model({ ...network, normalisation: { ...network.normalisation, clahe: 2 } }),
      /normalisation is not known/,
    ],
    ...ranges.map(([at, option, expected]): [string, Uint8Array, RegExp] => [
      JSON.stringify(option),
      model({ ...network, layers: layers.with(at, { ...layers[at], ...option }) }),
      expected,
    ]),
    [
      'a window that does not fit',
      model({ ...network, imageSize: 8, layers: narrow }),
      /a kernel of \(15, 15\) does not/,
    ],
    [
      'groups that do not divide',
      model({ ...network, layers: [norm(3), ...layers] }),
      /num_channels must be divisible/,
    ],
    [
      'two of a name',
      model({ ...network, layers: [norm(1), norm(1), ...layers] }),
      /"gn" is also the name of layers\[0\]/,
    ],
    ['residuals too deep', model({ ...network, layers: [nested(32), ...layers] }), /33 levels deep, at most 32/],
    ['too many layers', model({ ...network, layers: [wide, ...layers] }), /more than 2000 layers/],
    ['JSON too deep', model({ ...network, layers: '0' }, parameters, deep), /network is not valid/],
    ['no classes', model({ ...network, layers: layers.slice(0, -1) }), /does not end in two classes/],
  ];
  const folders: string[] = [];
  for (const [name, bytes] of cases) {
    const folder = join(at.folder, name);
    await mkdir(folder);
    await writeFile(join(folder, 'model.safetensors'), bytes);
    folders.push(folder);
  }
  const texts = (await inPython('[refusal_of(t.read_model, folder) for folder in given]', folders)) as (
    | string
    | null
  )[];
  for (const [index, [name, , expected]] of cases.entries()) assert.match(texts[index] ?? 'accepted', expected, name);
});

test('what the trainer does not do is refused, not left out', { skip: withoutTorch }, async () => {
  const wishes = [
    { augmentation: { shift: 0, flip: true } },
    { augmentation: { rotation: 200 } },
    { augmentation: 'much' },
    { mixup: 0.1 },
    { augmentation: 'none' },
    { augmentation: augmentationSchema.parse({ shift: 1, rotation: 180, sharpness: 0.5 }), lr: 0.9 },
    {},
  ];
  const texts = (await inPython(
    `[refusal_of(t.check_parameters, p) for p in given] + [
      refusal_of(t.optimiser_of, {"lr": 1, "optimizer": {"kind": "lion"}}, []),
      refusal_of(t.rate_factor, {"kind": "linear"}, 0, 1),
      refusal_of(t.os.environ.update(FEDRAD_GPUS="99") or t.open_device, 1)]`,
    wishes,
  )) as (string | null)[];
  const expected = [
    /^augmentation\.flip: the PyTorch trainer does not know this augmentation \(.*trainer: fedrad/,
    /^augmentation\.rotation: expected 0 to 180, got 200/,
    /^augmentation: expected options or none, got "much"/,
    /^mixup: the PyTorch trainer does not know this parameter/,
    ...[null, null, null],
    /^optimizer: the PyTorch trainer does not know "lion"/,
    /^lr_schedule: the PyTorch trainer does not know "linear"/,
    /^GPU: PyTorch sees \d+ of the 99 that were found before/,
  ];
  for (const [index, text] of texts.entries()) {
    const wanted = expected[index]!;
    if (wanted === null) assert.equal(text, null);
    else assert.match(text ?? 'accepted', wanted);
  }
});

test('a batch of one image is refused before training where a batch norm would get one value a channel', {
  skip: withoutTorch,
}, async (context) => {
  const [first, second] = network.layers.filter(({ op }) => op === 'linear');
  const bn = { op: 'batch_norm2d', name: 'fc1.bn', eps: 1e-5, momentum: 0.1 } as const;
  const flat = { ...network, layers: [first!, bn, second!] };
  const spatial = { ...network, layers: [bn, first!, second!] };
  const trains = async (of: typeof network, parameters: object, processes = 1) => {
    const at = await hospital(context, { network: of, parameters: initialParameters(of, 1) }, data);
    return trainInTorch(at, 'model', { epochs: 1, ...parameters }, processes);
  };
  // Of 6 images the last batch of 5 has 1.
  const refusals = [await trains(flat, { batch_size: 5 }), await trains(flat, { batch_size: 5 }, 2)];
  for (const { code, stderr, model } of [...refusals, await trains(flat, { batch_size: 1 })]) {
    assert.equal(code, REFUSED, stderr);
    assert.match(
      stderr.trim().split('\n').at(-1)!,
      /^training: batch norm "fc1\.bn" gets one value a channel in a batch of 1 image$/,
    );
    assert.equal(model, undefined);
  }
  for (const { code, stderr } of [await trains(flat, { batch_size: 4 }), await trains(spatial, { batch_size: 5 })])
    assert.equal(code, 0, stderr);
});

test('it knows every parameter and augmentation that a graph may give it', { skip: withoutTorch }, async () => {
  const [parameters, augmentations] = (await inPython(
    '[sorted(t.PARAMETERS), sorted(t.augment.OPTIONS)]',
    0,
  )) as string[][];
  const { process_count_per_instance: _, ...given } = pytorchTrainParameters.shape;
  assert.deepEqual(parameters, Object.keys(given).sort());
  assert.deepEqual(augmentations, Object.keys(augmentationSchema.shape).sort());
});

test('the step ends with exit code 3 and one line: a damaged model, changed images, a loss that is no number', {
  skip: withoutTorch,
}, async (context) => {
  const at = await opened(context);
  const refuses = ({ code, stderr, model }: Trained, expected: RegExp) => {
    assert.equal(code, REFUSED, stderr);
    assert.match(stderr.trim().split('\n').at(-1)!, expected);
    assert.equal(model, undefined, 'nothing is left that could be taken for a model');
  };
  refuses(
    await trainInStep(at, 'nan', { lr: 1e30 }, 2),
    /^training: the loss is (nan|inf) in epoch \d+, batch \d+ \(lower the learning rate\)$/,
  );
  refuses(await trainInTorch(at, 'flip', { augmentation: { flip: true } }), /^augmentation\.flip: the PyTorch trainer/);
  await writeFile(
    join(at.data, 'train.u8'),
    data.images.map((value) => 255 - value),
  );
  refuses(await trainInTorch(at, 'images', {}), /train\.u8: its SHA-256 is not the one it was made with/);
  await writeFile(join(at.checkpoint, 'model.safetensors'), new Uint8Array(9));
  refuses(await trainInTorch(at, 'damaged', {}), /^.*model\.safetensors: not a safetensors file: /);
});

test('a Python without PyTorch, or none, is said in one line with what to install', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-python-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const script = async (name: string, text: string) => {
    await writeFile(join(folder, name), `#!/bin/sh\n${text}\n`);
    await chmod(join(folder, name), 0o755);
    return join(folder, name);
  };
  /** It says where its packages are; with the trainer it does this. */
  const having = (name: string, trainer: string) =>
    script(
      name,
      `case "$*" in *paths.py) echo '{"python": "${join(folder, name)}", "own": [], "packages": [], "added": []}';; *) ${trainer};; esac`,
    );
  const without = await having('without', `echo '{"problem": "No module named torch"}'`);
  const broken = await having('broken', 'echo "Traceback" >&2; echo "OSError: libcudart.so: no such file" >&2; exit 1');
  const old = await having('old', `echo '{"torch": "1.9.0", "gpus": [], "distributed": true}'`);
  const dead = await script('dead', 'echo "libpython3.so: no such file" >&2; exit 127');
  const shell = await script('shell', 'echo hello');
  for (const [python, problem] of [
    [without, 'has no PyTorch'],
    [broken, 'does not run PyTorch (OSError: libcudart.so: no such file)'],
    [old, 'has PyTorch 1.9.0, expected 1.13 or newer'],
    [dead, 'does not run (libpython3.so: no such file)'],
    [shell, 'is no Python'],
  ] as const)
    await assert.rejects(findTorch('silos[0].trainer', { environment: { FEDRAD_PYTHON: python } }), (error: Error) => {
      assert.ok(error.message.startsWith(`silos[0].trainer: ${python} ${problem} (pip install torch`), error.message);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    });
  await assert.rejects(
    findTorch('x', { environment: { FEDRAD_PYTHON: join(folder, 'none') } }),
    /x: there is no .*none \(pip install torch.*FEDRAD_PYTHON/,
  );
});

/** Processes of this machine whose command line has this text. */
const processesWith = (text: string): string[] =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
    } catch {
      return false;
    }
  });

for (const [processes, least] of [
  [1, 2],
  // The step, the launcher and two trainers.
  [2, 4],
] as const)
  test(`when the step is killed no process of Python is left: ${processes}`, {
    skip: withoutTorch || (process.platform === 'linux' ? false : 'looks into /proc'),
  }, async (context) => {
    const at = await opened(context);
    const child = await startStep(at, 'endless', { epochs: 100_000 }, processes);
    child.stderr!.resume();
    await new Promise<void>((resolve, reject) => {
      child.stdout!.on('data', (chunk) => String(chunk).includes('"progress"') && resolve());
      child.once('exit', () => reject(new Error('it ended by itself')));
    });
    assert.ok(processesWith(at.folder).length >= least);
    child.kill('SIGKILL');
    for (let waited = 0; processesWith(at.folder).length > 0; waited += 100) {
      assert.ok(waited < 60_000, `left: ${processesWith(at.folder)}`);
      await sleep(100);
    }
  });
