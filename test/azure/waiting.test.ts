/**
 * @file Waiting for a run on Azure ML, against the stand-in: what goes wrong meanwhile ends at most the looking, in one line, and never
 * the run. Nothing here was seen on Azure.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { withoutAzurite } from './azurite.ts';
import { ON_AZURE, openCliOnAzure } from './sandbox.ts';

const UPLOAD = ['submit', 'upload-data', '--example', 'PNEUMONIA', '--config', 'upload.yaml', ...ON_AZURE];

test('Ctrl-C, an expired sign-in and a busy Azure end the looking at most; the run goes on and is found again', {
  skip: withoutAzurite,
}, async (context) => {
  const { cli, standIn, workspace, machineLearning } = await openCliOnAzure(context);
  // The computes have no nodes before Ctrl-C, so the run cannot be quicker.
  const nodes = Promise.withResolvers<void>();
  machineLearning.nodes = nodes.promise;
  const child = cli.start([...UPLOAD, '--wait']);
  let said = '';
  child.stdout!.on('data', (chunk) => {
    said += chunk;
    if (/Studio/.test(String(chunk))) child.kill('SIGINT');
  });
  child.stderr!.on('data', (chunk) => {
    said += chunk;
  });
  const [code] = await once(child, 'close');
  const [[id]] = [...workspace.jobs] as [[string, unknown]];
  assert.equal(code, 130, said);
  assert.match(
    said,
    new RegExp(`Run ${id} goes on at Azure \\(fedrad run logs ${id} --follow; fedrad run cancel ${id} ends it`),
  );
  nodes.resolve();
  assert.match(await cli.ok('run', 'show', id), /https:\/\/ml\.azure\.com\/runs\//);

  // Azure takes the token no longer.
  standIn.faults.push({ match: /^GET .*\/children$/, status: 401, times: 1 });
  const expired = await cli.run([...UPLOAD, '--wait']);
  assert.equal(expired.code, 1);
  const last = expired.stderr.trim().split('\n').at(-1)!;
  const [, second] = [...workspace.jobs.keys()];
  assert.match(
    last,
    /the sign-in to Azure is missing or has expired; run \S+ goes on at Azure \(az login; then fedrad run logs/,
  );
  assert.ok(last.includes(second!));
  standIn.faults.push({ match: /^GET .*\/children$/, status: 401, times: 1 });
  const followed = await cli.run(['run', 'logs', second!, '--follow']);
  assert.equal(followed.code, 1);
  assert.match(followed.stderr, /^fedrad: .*the sign-in to Azure is missing or has expired \(az login\)$/m);

  // And is busy for longer than its client waits; it is asked again.
  standIn.faults.length = 0;
  standIn.faults.push({ match: /^GET .*\/children$/, status: 429, times: 5 });
  const busy = await cli.run([...UPLOAD, '--wait']);
  assert.equal(busy.code, 0, busy.stderr);
  assert.match(busy.stderr, /note: .*Azure asks for patience \(429\)/);
  const first = workspace.jobs.get(id)!;
  for (let look = 0; look < 600 && first.status === 'Running'; look++) await sleep(100);
  assert.deepEqual(
    [...workspace.jobs.values()].map(({ status }) => status),
    ['Completed', 'Completed', 'Completed'],
  );
});
