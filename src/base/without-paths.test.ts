import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutPaths } from './without-paths.ts';

test('paths and file names go, with the spaces in them', () => {
  for (const [text, left] of [
    [
      "ENOENT: no such file or directory, open '/data/x rays/Doe, John.png'",
      "ENOENT: no such file or directory, open '<path>'",
    ],
    [
      '/srv/fedrad/agent/work/a.1/out: the disk is full: 3 MB needed, 1 MB free',
      '<path>: the disk is full: 3 MB needed, 1 MB free',
    ],
    ['NORMAL/person1_bacteria_2.jpeg: it cannot be decoded', '<path>: it cannot be decoded'],
    ['Doe, John (1).png: it cannot be decoded', '<path>: it cannot be decoded'],
    ["O'Brien 7.dcm: it cannot be decoded", '<path>: it cannot be decoded'],
    ['C:\\Users\\x\\scan 3: refused', '<path>: refused'],
    ['Müller_Jürgen.jpég: refused', '<path>: refused'],
    ['two lines\n    at run (file:///usr/lib/node_modules/fedrad/src/x.ts:1:2)', 'two lines\n    <path>'],
    ['expected a folder, got "azureml://datastores/d/paths/p"', 'expected a folder, got "<path>"'],
    ['.hidden', '<path>'],
  ] as const) {
    assert.equal(withoutPaths(text), left);
  }
});

test('words and figures stay', () => {
  for (const text of [
    '12/40 images decoded, 37.5 images/s',
    'loss = 0.693, AUROC 0.5.',
    "key vault: the secrets 'kaggleusername' and 'kagglekey' are needed (fedrad agent secret set --help)",
    'exit code 1',
    '20.5 s of CPU time, 120 MiB of memory at most',
  ]) {
    assert.equal(withoutPaths(text), text);
  }
});

test('a long text is cut', () => {
  assert.equal(withoutPaths('a'.repeat(1_000_000)).length, 2000);
});
