import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { openNamespaces, whyNoNamespaces } from './network.ts';
import { runTool } from './tool.ts';

const skip = whyNoNamespaces() ?? false;
const LISTEN = `require('net').createServer(s => s.end('hello')).listen(4000, '0.0.0.0', () => console.log('ready'))`;
const DIAL = `
  const socket = require('net').connect({ host: process.argv[1], port: 4000 });
  socket.on('data', (data) => { console.log(String(data)); process.exit(0); });
  socket.on('error', (error) => { console.log(error.code); process.exit(1); });
  setTimeout(() => { console.log('silence'); process.exit(2); }, Number(process.argv[2]));
`;

async function listen(context: TestContext, [file, args]: readonly [string, readonly string[]]): Promise<void> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  context.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
}

test('hosts reach each other by address and the server by its name, until the cable is pulled', {
  skip,
}, async (context) => {
  const network = openNamespaces(['a', 'b'], 'server.test');
  context.after(() => network.close());
  const [a, b] = [network.hosts.get('a')!, network.hosts.get('b')!];
  const dial = (address: string, silenceMs: number): string => {
    const [file, args] = a.command(process.execPath, ['-e', `${DIAL}`, address, String(silenceMs)]);
    return runTool('sh', ['-c', '"$@" || true', 'sh', file, ...args]).trim();
  };
  await listen(context, b.command(process.execPath, ['-e', LISTEN]));
  await listen(context, network.router.command(process.execPath, ['-e', LISTEN]));
  assert.equal(dial(b.address, 5000), 'hello');
  assert.equal(dial('server.test', 5000), 'hello', 'the router, at the address that is for this host');
  b.cut!();
  assert.match(dial(b.address, 300), /silence|EHOSTUNREACH/);
  assert.equal(dial('server.test', 5000), 'hello', 'the other host is not cut off');
  b.mend();
  assert.equal(dial(b.address, 5000), 'hello');
  assert.match(dial('192.0.2.1', 300), /ENETUNREACH/, 'there is no way out');
});

test('nothing is left when a network is closed', { skip }, () => {
  const network = openNamespaces(['left'], 'server.test');
  const mine = () => readdirSync('/run/netns').filter((name) => name.startsWith(`fedrad-test-${process.pid}-`));
  assert.ok(mine().length >= 2);
  network.close();
  assert.deepEqual(
    mine().filter((name) => name.endsWith('-left')),
    [],
  );
  assert.ok(!existsSync('/etc/netns') || readdirSync('/etc/netns').every((name) => !name.endsWith('-left')));
});
