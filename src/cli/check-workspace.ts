/** @file Holds a config against the workspace it is submitted to, before anything runs. Errors name the place in the config. */
import { access } from 'node:fs/promises';
import { fail } from '../base/index.ts';
import { checkShares, readShare } from '../components/index.ts';
import { type Graph, OWN_DATASTORE, type PneumoniaConfig, type UploadConfig } from '../pipelines/index.ts';
import { findCompute, findDatastore, parseDatastoreUri, type Workspace } from '../workspace/index.ts';

/** Computes and datastores exist, fit together, and each silo's data is there (`offline`: the data may come later). */
export async function checkPneumoniaConfig(
  config: PneumoniaConfig,
  workspace: Workspace,
  file: string,
  offline: boolean,
): Promise<void> {
  const at = `${file}: federated_learning`;
  const { orchestrator, silos } = config.federated_learning;
  checkPlace(workspace, orchestrator, `${at}.orchestrator`);
  for (const [index, silo] of silos.entries()) {
    const where = `${at}.silos[${index}]`;
    for (const [position, compute] of silo.computes.entries())
      findCompute(workspace, compute, `${where}.computes[${position}]`);
    checkPlace(workspace, { compute: silo.computes[0]!, datastore: silo.datastore }, where, 'computes[0]');
  }
  if (offline) return;
  const shares: { silo: string; share: Awaited<ReturnType<typeof readShare>> }[] = [];
  for (const [index, silo] of silos.entries()) {
    const { datastore, path } = parseDatastoreUri(silo.silo_data.path);
    const where = `${at}.silos[${index}].silo_data.path`;
    const data = findDatastore(workspace, datastore, where);
    if (!(await data.exists(path))) {
      fail(where, `nothing lies at ${silo.silo_data.path}`, 'fedrad submit upload-data --example PNEUMONIA --wait');
    }
    shares.push({ silo: silo.name, share: await readShare(data.localPath(path)) });
  }
  checkShares(shares);
}

/** What cannot be done where the hospitals' data stay apart: across hospitals, and on Azure, where each has its own storage. */
export function checkAcross(config: PneumoniaConfig, file: string): void {
  if (config.training_parameters.baselines.includes('pooled')) {
    fail(
      `${file}: training_parameters.baselines`,
      'pooled needs the data of all hospitals in one place, and here they stay apart',
      'leave pooled out',
    );
  }
}

/** Computes and datastores exist and fit together, and so does what is to be uploaded from this machine (not `across` hospitals: there from theirs). */
export async function checkUploadConfig(
  config: UploadConfig,
  graph: Graph,
  workspace: Workspace,
  file: string,
  across = false,
): Promise<void> {
  const where = `${file}: data.source`;
  for (const step of graph.steps) {
    for (const input of Object.values(step.inputs)) {
      if (input.from === 'datastore' && across) checkOwn(step, input.path, where);
      else if (input.from === 'datastore') await checkReadable(workspace, step.compute, input.path, where);
      else if (input.from === 'local' && !across) await checkLocal(input.path, where);
    }
  }
  const at = `${file}: federated_learning`;
  const { host, silos } = config.federated_learning;
  if (host) checkPlace(workspace, host, `${at}.host`);
  for (const [index, silo] of silos.entries()) checkPlace(workspace, silo, `${at}.silos[${index}]`);
}

const checkLocal = (path: string, where: string): Promise<void> =>
  access(path).catch((cause: unknown) =>
    fail(where, `cannot read ${path}`, 'give the path of a folder or zip archive that exists', cause),
  );

/** Where hospitals stay apart each reads its own datastore. */
function checkOwn({ compute, outputs }: Graph['steps'][number], uri: string, where: string): void {
  const { datastore } = parseDatastoreUri(uri, where);
  if (Object.values(outputs).some((own) => parseDatastoreUri(own, where).datastore === datastore)) return;
  fail(
    where,
    `${compute} reads its own datastore alone, not ${datastore}`,
    `azureml://datastores/${OWN_DATASTORE}/paths/…`,
  );
}

/** The compute may read the path of the datastore, and something lies there. */
async function checkReadable(workspace: Workspace, compute: string, uri: string, where: string): Promise<void> {
  const { datastore, path } = parseDatastoreUri(uri, where);
  const place = findDatastore(workspace, datastore, where);
  const { datastores } = findCompute(workspace, compute, where);
  if (!datastores.includes(datastore))
    fail(where, `compute ${compute} may not use ${datastore}`, `use ${datastores.join(' or ')}`);
  if (!(await place.exists(path)))
    fail(where, `nothing lies at ${uri}`, `put the images there: ${place.localPath(path)}`);
}

function checkPlace(
  workspace: Workspace,
  place: { compute: string; datastore: string },
  where: string,
  computeKey = 'compute',
): void {
  const compute = findCompute(workspace, place.compute, `${where}.${computeKey}`);
  findDatastore(workspace, place.datastore, `${where}.datastore`);
  if (compute.datastores.includes(place.datastore)) return;
  fail(
    `${where}.datastore`,
    `compute ${compute.name} may not use ${place.datastore}`,
    `use ${compute.datastores.join(' or ')}`,
  );
}
