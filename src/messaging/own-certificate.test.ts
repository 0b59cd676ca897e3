/** @file A federation whose server shows a certificate of the hospital network's own authority, on a real nats-server by TLS and WebSocket. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { provisionWorkspace } from '../workspace/index.ts';
import { newAuthority, newServerCertificate } from './certificates.ts';
import { openFederation } from './federation.ts';
import { makeFederation } from './make-federation.ts';
import { joinFederation } from './membership.ts';
import { freePorts, skipWithoutNats, startNats, startProxy, temporaryFolder } from './testing.ts';

async function withCertificate(t: TestContext, trusted: boolean) {
  const folder = await temporaryFolder(t);
  const authority = await newAuthority('a hospital network', new Date());
  const server = await newServerCertificate(authority, ['localhost'], new Date());
  const other = await newAuthority('somebody else', new Date());
  const files = {
    cert: server.certificate,
    key: server.key,
    ca: trusted ? authority.certificate : other.certificate,
  };
  const [cert, key, ca] = Object.keys(files).map((name) => join(folder, `${name}.pem`)) as [string, string, string];
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, `${name}.pem`), text, { mode: 0o600 });
  const home = join(folder, 'orchestrator');
  const { workspaceName } = await provisionWorkspace(home, { siloCount: 1 });
  const [port, websocketPort] = await freePorts(2);
  const { serverConfigFile } = await makeFederation(
    home,
    { workspaceName },
    {
      ...{ url: `tls://localhost:${port}`, websocketUrl: `wss://localhost:${websocketPort}`, host: '127.0.0.1' },
      ...{ cert, key, ca, maxStoreBytes: 2e9 },
    },
  );
  await startNats(t, serverConfigFile);
  return { folder, federation: await openFederation(home, workspaceName) };
}

test('hospitals join and connect, by TLS and by WebSocket', { skip: skipWithoutNats }, async (t) => {
  const { federation, folder } = await withCertificate(t, true);
  const proxy = await startProxy(t);
  const orchestrator = await federation.connect('orchestrator');
  const joins = federation.answerJoins(orchestrator);
  for (const [name, options] of Object.entries({ tls: {}, websocket: { proxy: proxy.url } })) {
    const { line } = await federation.invite('silo0-01');
    const membership = await joinFederation(join(folder, name), line, options);
    const connection = await membership.connect(name, { waitMs: 15_000 });
    await connection.flush();
    await connection.close();
    if (name === 'tls') await federation.revoke('silo0-01', 'it joins again');
  }
  await joins.close();
  await orchestrator.close();
});

test('a server whose certificate is of another authority than the one named is not talked to', {
  skip: skipWithoutNats,
}, async (t) => {
  const { federation } = await withCertificate(t, false);
  await assert.rejects(federation.connect('orchestrator', { waitMs: 2_000 }), {
    name: 'FedradError',
    message: /certificate/,
  });
});
