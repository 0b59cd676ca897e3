import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openRng } from '../../src/base/index.ts';
import { openTcpProxy, type TcpProxy } from './tcp-proxy.ts';

interface Echo {
  readonly proxy: TcpProxy;
  /** Connects through the proxy. */
  readonly dial: () => Promise<Socket>;
  /** The server's sides, oldest first. */
  readonly accepted: Socket[];
}

/** A server that sends back what it gets, behind a proxy. */
async function echo(context: TestContext): Promise<Echo> {
  const accepted: Socket[] = [];
  const server = createServer((socket) => {
    accepted.push(socket);
    socket.on('error', () => {});
    socket.pipe(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const proxy = await openTcpProxy({ host: '127.0.0.1', port: 0 }, { host: '127.0.0.1', port });
  const dialled: Socket[] = [];
  context.after(async () => {
    for (const socket of dialled) socket.destroy();
    await proxy.close();
    for (const socket of accepted) socket.destroy();
    server.close();
  });
  const dial = async (): Promise<Socket> => {
    const socket = connect({ host: '127.0.0.1', port: proxy.port });
    dialled.push(socket);
    await once(socket, 'connect');
    socket.on('error', () => {});
    return socket;
  };
  return { proxy, dial, accepted };
}

/** The next `bytes` that a socket gives. */
function read(socket: Socket, bytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let got = 0;
  return new Promise((resolve) => {
    const take = (part: Buffer): void => {
      parts.push(part);
      got += part.length;
      if (got < bytes) return;
      socket.off('data', take).pause();
      resolve(Buffer.concat(parts));
    };
    socket.on('data', take).resume();
  });
}

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    socket.on('close', () => resolve()).resume();
  });

const noise = (bytes: number): Buffer => {
  const rng = openRng(1, 'noise', bytes);
  return Buffer.from(Uint32Array.from({ length: bytes / 4 }, () => rng.uint32()).buffer);
};

/** A case that waits for ever fails. */
const timeout = 20_000;

test('what goes in comes out, in order, also when the link changes on the way', { timeout }, async (context) => {
  const { proxy, dial } = await echo(context);
  const socket = await dial();
  const sent = noise(3_000_000);
  const received = read(socket, sent.length);
  await proxy.set({ latencyMs: 20, bytesPerSecond: 4_000_000 });
  socket.write(sent);
  await sleep(100);
  await proxy.set({ stalled: true });
  await sleep(50);
  await proxy.set({ stalled: false, latencyMs: 0, bytesPerSecond: 0 });
  assert.deepEqual(await received, sent);
  assert.deepEqual(await proxy.facts(), { connections: 1, bytes: 2 * sent.length });
});

test('latency and rate take at least the time that they say', { timeout }, async (context) => {
  const { proxy, dial } = await echo(context);
  const socket = await dial();
  await proxy.set({ latencyMs: 60 });
  let start = performance.now();
  socket.write('a');
  await read(socket, 1);
  assert.ok(performance.now() - start >= 118, 'there and back');
  await proxy.set({ latencyMs: 0, bytesPerSecond: 100_000 });
  start = performance.now();
  socket.write(noise(20_000));
  await read(socket, 20_000);
  // Four pieces of 50 ms; the last one need not be waited for.
  assert.ok(performance.now() - start >= 148);
});

test('a stalled link carries nothing until it is released, and loses nothing', { timeout }, async (context) => {
  const { proxy, dial } = await echo(context);
  const socket = await dial();
  await proxy.set({ stalled: true });
  socket.write('later');
  await sleep(100);
  assert.equal(socket.bytesRead, 0);
  const late = read(socket, 5);
  await proxy.set({ stalled: false });
  assert.equal(String(await late), 'later');
});

test('a reset ends both sides; the next connection works', { timeout }, async (context) => {
  const { proxy, dial, accepted } = await echo(context);
  const socket = await dial();
  socket.write('x');
  await read(socket, 1);
  const ends = [closed(socket), closed(accepted[0]!)];
  assert.equal(await proxy.reset(), 1);
  await Promise.all(ends);
  const again = await dial();
  again.write('y');
  assert.equal(String(await read(again, 1)), 'y');
});

test('a forgotten connection hears nothing, not even of its other end; a new one works', {
  timeout,
}, async (context) => {
  const { proxy, dial, accepted } = await echo(context);
  const socket = await dial();
  socket.write('x');
  await read(socket, 1);
  assert.equal(await proxy.forget(), 1);
  socket.write('lost');
  const again = await dial();
  again.write('y');
  assert.equal(String(await read(again, 1)), 'y');
  socket.destroy();
  await sleep(50);
  assert.equal(accepted[0]!.bytesRead, 1);
  assert.equal(accepted[0]!.closed, false);
  const ended = closed(accepted[0]!);
  assert.equal(await proxy.reset(), 2);
  await ended;
});

test('an end is passed on after everything before it', { timeout }, async (context) => {
  const { proxy, dial } = await echo(context);
  await proxy.set({ latencyMs: 30 });
  const socket = await dial();
  const [last, ended] = [read(socket, 4), closed(socket)];
  socket.end('last');
  assert.equal(String(await last), 'last');
  socket.resume();
  await ended;
  for (let waited = 0; (await proxy.facts()).connections > 0; waited += 10) {
    assert.ok(waited < 5000, 'the proxy keeps the connection');
    await sleep(10);
  }
});
