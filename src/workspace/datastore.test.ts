import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatDatastoreUri, parseDatastoreUri } from './datastore.ts';
import { HOSTILE_PATHS } from './datastore-contract.ts';

test('a datastore path is read and written as Azure ML writes it', () => {
  const uri = 'azureml://datastores/datastore_silo0/paths/federated learning/pneumonia-ä';
  assert.deepEqual(parseDatastoreUri(uri), { datastore: 'datastore_silo0', path: 'federated learning/pneumonia-ä' });
  assert.equal(formatDatastoreUri(parseDatastoreUri(`${uri}/`)), uri);
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
    assert.throws(() => formatDatastoreUri({ datastore: 'd', path }), { name: 'FedradError' });
  }
});
