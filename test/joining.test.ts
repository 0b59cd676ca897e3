/** @file From a workspace to a federation on the command line: init, invite, join, list, revoke, with a real nats-server and its daemon. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { freePorts, skipWithoutNats, startNats } from '../src/messaging/testing.ts';
import { type Cli, openCli } from './cli.ts';

const options = { skip: skipWithoutNats };

interface Made {
  readonly created: boolean;
  readonly folder: string;
  readonly serverConfigFile: string;
}
interface Listed {
  readonly compute: string;
  readonly state: string;
  readonly fingerprint?: string;
  readonly reason?: string;
}
const list = async (cli: Cli): Promise<Listed[]> => JSON.parse(await cli.ok('silo', 'list', '--json'));

async function federation(context: TestContext) {
  const cli = await openCli(context);
  await cli.ok('provision', '--silos', '2');
  const [port, http] = await freePorts(2);
  const init = ['orchestrator', 'init', '--url', `tls://127.0.0.1:${port}`, '--nats_store_gb', '2'];
  const made: Made = JSON.parse(await cli.ok(...init, '--json'));
  const home = join(cli.folder, 'hospital');
  return { cli, made, init, home, http: http! };
}

/** Starts the daemon, and waits until it answers. */
async function startOrchestrator(context: TestContext, cli: Cli, http: number): Promise<void> {
  const daemon = cli.start(['orchestrator', 'start', '--http', `127.0.0.1:${http}`]);
  const exited = once(daemon, 'exit');
  context.after(async () => {
    daemon.kill('SIGTERM');
    await exited;
  });
  let log = '';
  daemon.stderr!.on('data', (chunk) => {
    log += chunk;
  });
  for await (const chunk of daemon.stdout!) {
    log += chunk;
    if (log.includes('connected to')) break;
  }
  assert.match(log, /connected to tls:/);
  // What it says later must not fill the pipe.
  daemon.stdout!.resume();
}

test(
  'init makes a federation once; a second time changes nothing, and refuses what contradicts',
  options,
  async (t) => {
    const { cli, made, init } = await federation(t);
    assert.ok(made.created);
    const before = await readFile(made.serverConfigFile, 'utf8');
    assert.equal(JSON.parse(await cli.ok(...init, '--json')).created, false);
    assert.match(await cli.ok(...init), /nothing changed[\s\S]*Next: nats-server -c '/);
    assert.equal(await readFile(made.serverConfigFile, 'utf8'), before);
    assert.match(
      await cli.fails('orchestrator', 'init', '--url', 'tls://elsewhere:4222'),
      /it exists with url "tls:\/\/127.0.0.1/,
    );
    assert.match(
      await cli.fails('orchestrator', 'init', '--url', 'nats://127.0.0.1:4222'),
      /expected tls:\/\/host:4222/,
    );
    for (const key of ['operator.nk', 'signing.pem', 'ca.pem', 'server.pem']) {
      assert.equal((await stat(join(made.folder, 'keys', key))).mode & 0o77, 0, key);
    }
  },
);

test('one line joins a hospital; revoked, it is gone', options, async (t) => {
  const { cli, made, home, http } = await federation(t);
  assert.match(await cli.fails('silo', 'invite', 'silo7'), /expected one of silo0-01, silo1-01/);
  assert.match(await cli.fails('silo', 'revoke', 'silo0'), /never invited/);
  const line = (await cli.ok('silo', 'invite', 'silo0')).trim();
  assert.match(line, /^fedrad silo join fedrad-invite:\S+$/);
  const invitation = line.split(' ').at(-1)!;
  assert.match(await cli.fails('silo', 'join', invitation, '--home', home, '--wait', '1'), /no connection within 1 s/);
  assert.match(await cli.fails('silo', 'join', invitation.slice(0, -40), '--home', home), /damaged or was cut/);

  await startNats(t, made.serverConfigFile);
  // The server is there, and nobody who answers.
  const unanswered = await cli.run(['--home', home, 'silo', 'join', invitation, '--wait', '2']);
  assert.equal(unanswered.code, 1);
  assert.match(
    unanswered.stderr,
    /nats-server is there, but the orchestrator did not answer for 2 s \(.*fedrad orchestrator start/,
  );

  await startOrchestrator(t, cli, http);
  // From standard input, as a mail program broke it.
  const broken = line.replaceAll(/(.{76})/g, '$1\n');
  const joined = await cli.run(['--home', home, 'silo', 'join', '-'], broken);
  assert.equal(joined.code, 0, joined.stderr);
  const [, fingerprint] = /^Fingerprint: (\S.*)$/m.exec(joined.stdout)!;
  const [silo0, silo1] = await list(cli);
  assert.deepEqual(
    [silo0!.compute, silo0!.state, silo0!.fingerprint, silo1!.state],
    ['silo0-01', 'joined', fingerprint, 'not invited'],
  );
  for (const file of ['user.nk', 'signing.pem']) {
    const { mode } = await stat(join(home, 'membership', file));
    assert.equal(mode & 0o77, 0, file);
  }
  // Somebody who read the mail is late.
  const thief = join(cli.folder, 'thief');
  assert.match(await cli.fails('--home', thief, 'silo', 'join', invitation), /used already, with other keys/);
  assert.match(await cli.fails('silo', 'invite', 'silo0'), /joined already/);
  assert.match(await cli.ok('silo', 'resume', 'silo0'), /gets work again/);

  assert.match(await cli.ok('silo', 'revoke', 'silo0', '--reason', 'a test'), /revoked and cut off/);
  const [after] = await list(cli);
  assert.deepEqual([after!.state, after!.reason], ['revoked', 'a test']);
  assert.match(await cli.fails('silo', 'resume', 'silo0'), /it is revoked, not suspended/);
});
