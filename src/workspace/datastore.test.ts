import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDatastoreUri } from './datastore.ts';
import { HOSTILE_PATHS } from './datastore-contract.ts';

test('a datastore path is read as Azure ML writes it', () => {
  const uri = 'azureml://datastores/datastore_silo0/paths/federated learning/pneumonia-ä';
  const expected = { datastore: 'datastore_silo0', path: 'federated learning/pneumonia-ä' };
  assert.deepEqual(parseDatastoreUri(uri), expected);
  assert.deepEqual(parseDatastoreUri(`${uri}/`), expected);
});

test('anything else is refused', () => {
  for (const uri of [
    '',
    'datastore_silo0/a',
    'azureml://datastores/a',
    'azureml://datastores//paths/a',
    'https://a/b',
  ]) {
    assert.throws(
      () => parseDatastoreUri(uri),
      /expected a path in a datastore, got .* \(write azureml:\/\/datastores\//,
    );
  }
  for (const path of HOSTILE_PATHS) {
    assert.throws(() => parseDatastoreUri(`azureml://datastores/d/paths/${path}`), { name: 'FedradError' });
  }
});
