import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FedradError } from '../base/index.ts';
import { downloadKaggle } from './kaggle.ts';
import { DEFAULT_LIMITS, type Limits } from './limits.ts';
import { partitionSchema } from './partition.ts';
import { openPhantoms } from './phantoms.ts';
import { makeZip } from './testing.ts';
import { uploadData } from './upload.ts';

const root = await mkdtemp(join(tmpdir(), 'fedrad-kaggle-'));
after(() => rm(root, { recursive: true }));
const CONTENT = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7919) % 251));
const KEY = 'a-very-secret-key';
const AUTHORIZATION = `Basic ${Buffer.from(`doctor:${KEY}`).toString('base64')}`;

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

async function serve(handler: Handler): Promise<string> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const fetchArchive = async (
  baseUrl: string,
  limits: Partial<Limits> = {},
  file = join(root, 'archive'),
  onProgress?: (doneBytes: number) => void,
) => {
  await downloadKaggle({
    baseUrl,
    dataset: 'owner/set',
    credentials: { username: 'doctor', key: KEY },
    file,
    limits: { ...DEFAULT_LIMITS, retryDelayMs: 1, ...limits },
    onProgress,
  });
  return readFile(file);
};

const refusedWith = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof FedradError, String(error));
  assert.match(error.message, message);
  assert.doesNotMatch(error.message, /\n/);
  assert.ok(!`${error.message} ${error.stack} ${JSON.stringify(error.cause)}`.includes(KEY));
  return true;
};

test('the credentials go to Kaggle, not to the host it redirects to', async () => {
  const seen: (string | undefined)[] = [];
  const storage = await serve((request, response) => {
    seen.push(request.headers.authorization);
    response.end(CONTENT);
  });
  const kaggle = await serve((request, response) => {
    seen.push(request.headers.authorization);
    if (request.url === '/api/v1/datasets/download/owner/set') response.writeHead(302, { location: '/signed' }).end();
    else response.writeHead(307, { location: `${storage}/x` }).end();
  });
  assert.deepEqual(await fetchArchive(kaggle), CONTENT);
  assert.deepEqual(seen, [AUTHORIZATION, AUTHORIZATION, undefined]);
});

test('a broken connection is resumed where it broke, by Range', async () => {
  const ranges: (string | undefined)[] = [];
  let cut = () => {};
  const kaggle = await serve((request, response) => {
    ranges.push(request.headers.range);
    const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const rest = CONTENT.subarray(from);
    response.writeHead(from > 0 ? 206 : 200, {
      etag: '"v1"',
      'content-length': rest.length,
      ...(from > 0 ? { 'content-range': `bytes ${from}-${CONTENT.length - 1}/${CONTENT.length}` } : {}),
    });
    cut = () => response.destroy();
    if (ranges.length < 4) response.write(rest.subarray(0, 90_000));
    else response.end(rest);
  });
  const onProgress = (doneBytes: number) => {
    if (doneBytes === 90_000 * ranges.length) cut();
  };
  // Each attempt brings something new: even one fruitless attempt would be too many.
  assert.deepEqual(await fetchArchive(kaggle, { attempts: 1 }, undefined, onProgress), CONTENT);
  assert.equal(ranges.length, 4);
  assert.ok(ranges.slice(1).every((range) => range !== undefined));
});

test('where the server cannot resume, the download starts again and mixes nothing', async () => {
  let requests = 0;
  const kaggle = await serve((_request, response) => {
    requests += 1;
    const content = Buffer.from(CONTENT).fill(requests, 0, 10);
    response.writeHead(200, { etag: `"v${requests}"`, 'content-length': content.length });
    if (requests < 3) response.write(content.subarray(0, 120_000), () => response.destroy());
    else response.end(content);
  });
  assert.deepEqual(await fetchArchive(kaggle), Buffer.from(CONTENT).fill(3, 0, 10));
});

test('passing errors are tried again, a few times', async () => {
  let requests = 0;
  const kaggle = await serve((_request, response) => {
    requests += 1;
    if (requests < 3) response.writeHead(503).end();
    else response.end(CONTENT);
  });
  assert.deepEqual(await fetchArchive(kaggle), CONTENT);
  requests = -100;
  await assert.rejects(
    fetchArchive(kaggle, { attempts: 3 }),
    refusedWith(/failed 3 times in a row at byte 0: HTTP status 503/),
  );
  assert.equal(requests, -97);
});

test('a server that falls silent is given up after the idle timeout', async () => {
  const kaggle = await serve((_request, response) => {
    response.writeHead(200, { 'content-length': 1000 });
    response.write('x');
  });
  await assert.rejects(
    fetchArchive(kaggle, { idleTimeoutMs: 50, attempts: 1 }),
    refusedWith(/failed 1 times in a row at byte 1: no byte for 0.05 s/),
  );
});

for (const [status, message] of [
  [401, /refused the credentials \(HTTP status 401\).*keyvault secret set --vault-name <vault> --name kaggleusername/],
  [403, /refused the credentials.*--name kagglekey/],
  [404, /Kaggle data set owner\/set: no such data set at 127.0.0.1/],
  [410, /download refused with HTTP status 410/],
] as const) {
  test(`HTTP status ${status} is said at once in one line, without the key`, async () => {
    let requests = 0;
    const kaggle = await serve((request, response) => {
      requests += 1;
      response.writeHead(status).end(request.headers.authorization);
    });
    await assert.rejects(fetchArchive(kaggle), refusedWith(message));
    assert.equal(requests, 1);
  });
}

test('missing credentials, no server, a loop of redirects', async () => {
  const asked = {
    baseUrl: 'http://127.0.0.1:1',
    dataset: 'owner/set',
    file: join(root, 'x'),
    limits: { ...DEFAULT_LIMITS, retryDelayMs: 1 },
  };
  await assert.rejects(
    downloadKaggle({ ...asked, credentials: undefined }),
    refusedWith(/needs the secrets kaggleusername and kagglekey/),
  );
  await assert.rejects(
    downloadKaggle({ ...asked, credentials: { username: 'doctor', key: KEY } }),
    refusedWith(/failed 5 times in a row at byte 0/),
  );
  const loop = await serve((_request, response) => void response.writeHead(302, { location: '/again' }).end());
  await assert.rejects(fetchArchive(loop), refusedWith(/more than 10 redirects/));
});

test('a full disk and an archive beyond the limit are told with their numbers', async (context) => {
  const huge = await serve((_request, response) => {
    response.writeHead(200, { 'content-length': 2e15 });
    response.write('x');
  });
  await assert.rejects(
    fetchArchive(huge, { archiveBytes: 1e16 }),
    refusedWith(/the disk is full: needs 2000000000000000 bytes in .*, \d+ are free/),
  );
  await assert.rejects(fetchArchive(huge), refusedWith(/larger than the limit of 34359738368 bytes/));
  const endless = await serve((_request, response) => {
    response.write(CONTENT);
    response.end(CONTENT);
  });
  await assert.rejects(
    fetchArchive(endless, { archiveBytes: 400_000 }),
    refusedWith(/larger than the limit of 400000 bytes/),
  );
  if (!existsSync('/dev/full')) return context.skip('this system has no /dev/full');
  await assert.rejects(
    fetchArchive(endless, {}, '/dev/full'),
    refusedWith(/the disk is full: needs more than 0 bytes in \/dev, \d+ are free/),
  );
});

test('from Kaggle to images: the archive is downloaded, split and removed', async () => {
  const phantoms = openPhantoms({ imagesPerSilo: 60, imageSize: 32 }, 0, 1);
  const entries = await Promise.all(
    phantoms.files.map(async (file) => ({ name: `chest_xray/train/${file.path}`, content: await phantoms.read(file) })),
  );
  const archive = makeZip(entries);
  const kaggle = await serve((request, response) => {
    if (request.headers.authorization === AUTHORIZATION) response.end(archive);
    else response.writeHead(401).end();
  });
  const [output, scratch] = [join(root, 'output'), join(root, 'scratch')];
  await mkdir(scratch);
  const steps = new Set<string>();
  const summary = await uploadData({
    source: { kind: 'kaggle', baseUrl: kaggle, dataset: 'owner/set' },
    credentials: { username: 'doctor', key: KEY },
    siloIndex: 0,
    siloCount: 1,
    partition: partitionSchema.parse({}),
    seed: 1,
    output,
    scratch,
    onProgress: (_done, _total, what) => steps.add(what),
  });
  assert.equal(summary.used, 60);
  assert.deepEqual([...steps], ['bytes downloaded', 'images checked']);
  assert.deepEqual(await readdir(scratch), []);
});
