/** @file What becomes of a command whose reader has seen enough, as `head` has. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCli, program, uploadConfig } from './cli.ts';

const skip = process.platform === 'win32';

/** The command with a reader that takes nothing, or one line. */
function readBy(reader: string, ...args: string[]) {
  const line = `"$0" "$@" | exec ${reader}`;
  const { status, stderr } = spawnSync('sh', ['-c', line, process.execPath, program, ...args], { encoding: 'utf8' });
  return { status, stderr };
}

test('a reader that has seen enough is no defect', { skip }, async (context) => {
  // It has closed its end before anything is written.
  assert.deepEqual(readBy('true', '--help'), { status: 0, stderr: '' });

  const cli = await openCli(context);
  await cli.ok('provision');
  await cli.write('upload.yaml', uploadConfig('phantom:24'));
  const submit = ['submit', 'upload-data', '--example', 'PNEUMONIA', '--config', join(cli.folder, 'upload.yaml')];
  const { id } = JSON.parse(await cli.ok(...submit, '--wait', '--json')) as { id: string };
  // More than a pipe holds.
  await writeFile(join(cli.home, 'runs', id, 'logs', 'silo_0_upload_data.log'), 'a line of a log\n'.repeat(50_000));
  for (const more of [[], ['--follow']])
    assert.deepEqual(readBy('head -n 1', '--home', cli.home, 'run', 'logs', id, ...more), { status: 0, stderr: '' });
});
