/** What the other rooms may use of workspace. */
export { type ContentHash, folderHash, hashContent, walk } from './content-hash.ts';
export {
  checkDatastorePath,
  type Datastore,
  type DatastorePath,
  type LocalDatastore,
  parseDatastoreUri,
} from './datastore.ts';
export { openDirectoryDatastore } from './directory-datastore.ts';
export {
  besidePath,
  codeOf,
  explainFullDisk,
  flushFolder,
  formatBytes,
  makePrivateFolder,
  UNFINISHED,
  writeFileAtomic,
  writeNewFile,
} from './disk.ts';
export { type FileLock, isHeld, tryLock, waitForLock } from './file-lock.ts';
export { homeFolder, homePaths, prepareHome } from './home.ts';
export {
  checkSecretName,
  checkSecretValue,
  type KeyVault,
  type OpenVault,
  SECRET_PERMISSIONS,
  type SecretPermission,
  type SecretProperties,
  type VaultPolicy,
} from './key-vault.ts';
export { createLocalVault, openLocalVault } from './local-vault.ts';
export { didYouMean } from './names.ts';
export { type ProvisionedWorkspace, type ProvisionOptions, provisionWorkspace } from './provision.ts';
export { type RunEvent, runEventSchema, type StepOutput, stepOutputSchema } from './run-event.ts';
export { openRunHistory, type RecordedEvent, type RunHistory, type RunLock, type RunSummary } from './run-history.ts';
export { isNewRunId, newRunId } from './run-id.ts';
export { foldRun, type Metric, type RunState, type RunStatus, type StepAttempt, type StepState } from './run-state.ts';
export { Secret } from './secret.ts';
export { explainSqlite } from './sqlite-errors.ts';
export { readStoredJson, toStoredJson } from './stored-json.ts';
export { signedInUser, type User } from './user.ts';
export {
  FEDERATION_FILE,
  federationFolder,
  findCompute,
  findDatastore,
  hasFederation,
  hasWorkspace,
  hasWorkspaces,
  openVault,
  openWorkspace,
  vaultName,
  vaultNames,
  type Workspace,
  type WorkspaceName,
  workspacePaths,
} from './workspace.ts';
export { type Compute, DEFAULT_REGIONS, type WorkspaceDescription } from './workspace-description.ts';
