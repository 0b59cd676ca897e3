/** @file What fedrad reads of a workspace, against the stand-in. Nothing here was seen on Azure. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LOG } from '../../src/azure/azure-runs.ts';
import { openAzureMl } from '../../src/azure/azureml-client.ts';
import { pipelineJob } from '../../src/azure/pipeline-job.ts';
import { componentVersionBody, jobBody } from '../../src/azure/pipeline-job-rest.ts';
import { packageVersion } from '../../src/cli/package-version.ts';
import { parseConfig, uploadConfigSchema, uploadGraph } from '../../src/pipelines/index.ts';
import { uploadConfig } from '../cli.ts';
import { withoutAzurite } from './azurite.ts';
import { type Sandbox, SUBSCRIPTION, startSandbox } from './sandbox.ts';
import { accessToken } from './stand-in.ts';

const open = ({ standIn }: Sandbox) =>
  openAzureMl({
    credential: {
      getToken: async (scopes) => {
        const token = accessToken(String(scopes).replace(/\/\.default$/, ''));
        return { token, expiresOnTimestamp: Date.now() + 3_600_000 };
      },
    },
    address: { subscriptionId: SUBSCRIPTION, resourceGroup: 'rg-fldemo', workspaceName: 'aml-fldemo' },
    resourceManager: standIn.url,
  });

test("a compute's GPUs are those of its size in its own region", { skip: withoutAzurite }, async (context) => {
  const sandbox = await startSandbox(context);
  const datastores = ['datastore_silo1'];
  sandbox.workspace.computes.set('silo1-01', { vmSize: 'STANDARD_NC24S_V3', location: 'westus', datastores });
  sandbox.workspace.computes.set('silo2-01', { vmSize: 'Standard_NC12s_v3', datastores });
  const ml = await open(sandbox);
  const gpus: number[] = [];
  for (const compute of ['silo0-01', 'silo1-01', 'silo2-01']) gpus.push(await ml.gpus(compute, 'config.yaml'));
  assert.deepEqual(gpus, [0, 4, 2]);
});

test('the log of a step with a launcher is found, and that of one without', {
  skip: withoutAzurite,
}, async (context) => {
  const ml = await open(await startSandbox(context));
  const config = parseConfig(uploadConfig('phantom:24'), uploadConfigSchema, 'upload.yaml');
  const graph = uploadGraph(config, 'PNEUMONIA', '/');
  const job = pipelineJob(graph, { fedradVersion: packageVersion, graphHash: 'a'.repeat(64) });
  for (const component of job.components)
    await ml.putComponent(component.name, component.version, componentVersionBody(component, ml.part));
  const body = jobBody(job, ml.part);
  const { jobs } = body.properties as unknown as { jobs: Record<string, Record<string, unknown>> };
  jobs['silo_1_upload_data']!['distribution'] = { distribution_type: 'PyTorch', process_count_per_instance: 1 };
  await ml.submit('launched', body);
  let status = (await ml.job('launched'))?.status;
  for (let look = 0; look < 600 && status !== 'Completed' && status !== 'Failed'; look++) {
    await sleep(100);
    status = (await ml.job('launched'))?.status;
  }
  assert.equal(status, 'Completed');
  for (const { runId, step } of await ml.children('launched')) {
    assert.match((await ml.log(runId, LOG)) ?? 'none', /"type":"usage"/, step);
    assert.equal(await ml.log(runId, /^user_logs\/another\.txt$/), undefined);
  }
});
