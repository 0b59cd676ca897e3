/** @file The stand-in is as strict as its comments say: a token that is for another API is taken by none, and a call names its version. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutAzurite } from './azurite.ts';
import { SUBSCRIPTION, startSandbox } from './sandbox.ts';
import { accessToken } from './stand-in.ts';

const MANAGEMENT = `/subscriptions/${SUBSCRIPTION}/providers/Microsoft.MachineLearningServices/locations/westeurope/vmSizes`;
const VERSION = '?api-version=2022-10-01';
const STORAGE = 'https://storage.azure.com';
const VAULT = 'https://vault.azure.net';
const HISTORY = 'https://ml.azure.com';

test('each API takes a token that is for it, and no other', { skip: withoutAzurite }, async (context) => {
  const { standIn, machineLearning, vault } = await startSandbox(context);
  const [id] = [...machineLearning.workspaces.keys()] as [string];
  const statusOf = async (url: string, audience: string): Promise<number> => {
    const headers = { authorization: `Bearer ${accessToken(audience)}`, 'x-ms-version': '2021-12-02' };
    const { status, body } = await fetch(url, { headers });
    await body?.cancel();
    return status;
  };
  // Where the token is right the answer is another: there is no such run, and the caller has no policy at the vault.
  const apis: readonly [url: string, audience: string, answer: number][] = [
    [`${standIn.url}${MANAGEMENT}${VERSION}`, standIn.url, 200],
    [`${standIn.url}/history/v1.0${id}/runs/none/children`, HISTORY, 404],
    [`${vault.url}/secrets?api-version=2026-04-01`, VAULT, 403],
    [`${machineLearning.azurite.blobUrl('stsilo0')}/contsilo0?restype=container&comp=list`, STORAGE, 200],
  ];
  for (const [url, audience, answer] of apis) {
    assert.equal(await statusOf(url, audience), answer, url);
    for (const [, other] of apis)
      if (other !== audience) assert.ok([401, 403].includes(await statusOf(url, other)), `${url} with ${other}`);
  }
});

test('sizes of machines are of a subscription that is there, in a version that is', {
  skip: withoutAzurite,
}, async (context) => {
  const { standIn } = await startSandbox(context);
  const headers = { authorization: `Bearer ${accessToken(standIn.url)}` };
  for (const [path, code] of [
    [MANAGEMENT, 'InvalidApiVersionParameter'],
    [MANAGEMENT.replaceAll('4', '5') + VERSION, 'SubscriptionNotFound'],
  ]) {
    const { error } = (await (await fetch(`${standIn.url}${path}`, { headers })).json()) as { error: { code: string } };
    assert.equal(error.code, code);
  }
});
