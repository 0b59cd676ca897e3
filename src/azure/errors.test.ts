/** @file What Azure Storage refuses, by its own client over HTTP: the words for whoever runs fedrad, with what mends it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { ContainerClient } from '@azure/storage-blob';
import { explained } from './errors.ts';

test('a refusal of storage names what mends it: a role, or the network', async (context) => {
  let code = '';
  const server = createServer(({ method }, response) => {
    response.writeHead(403, { 'x-ms-error-code': code, 'content-type': 'application/xml' });
    const body = `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>This request is not authorized to perform this operation.</Message></Error>`;
    response.end(method === 'HEAD' ? undefined : body);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  const container = new ContainerClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}/account/private`);
  for (const [said, expected] of [
    [
      'AuthorizationPermissionMismatch',
      /may not read or write these blobs \(ask an owner for the role Storage Blob Data/,
    ],
    [
      'AuthorizationFailure',
      /takes no calls from this network: .*\(run this inside its network; a role does not help\)/,
    ],
  ] as const) {
    code = said;
    const blob = container.getBlobClient('a');
    // One answers with a body, the other with headers alone.
    await assert.rejects(
      explained('blob a', () => blob.download()),
      expected,
    );
    await assert.rejects(
      explained('blob a', () => blob.getProperties()),
      expected,
    );
  }
});
