/** What the other rooms may use of azure. Each of Microsoft's clients is loaded where it is first used: together they take a second. */
export { azureAccount } from './azure-account.ts';
export { type AzureRun, completedChild, readAzureRun, recordAzureRun, syncAzureRun } from './azure-runs.ts';
export { openAzureVault } from './azure-vault.ts';
export { AZURE_SECRET_PERMISSIONS, setAzurePolicy } from './azure-vault-policy.ts';
export { type AzureMl, type JobStanding, openAzureMl } from './azureml-client.ts';
export { type BlobPlaceOptions, blobContainer, openBlobDatastore } from './blob-datastore.ts';
export { azureCredential } from './credential.ts';
export { type AzureEndpoints, azureEndpoints } from './endpoints.ts';
export { environmentOf } from './environments.ts';
export { explainAzure } from './errors.ts';
export { followAzureRun } from './follow-job.ts';
export { type JobIdentity, type PipelineJob, pipelineJob } from './pipeline-job.ts';
export { componentVersionBody, jobBody, type WorkspaceAddress, workspaceParts } from './pipeline-job-rest.ts';
export { pipelineJobYaml } from './pipeline-job-yaml.ts';
export { type DeployEvent, deploymentName, deployPlan, whatIfPlan } from './provision/deploy.ts';
export { provisionFiles } from './provision/files.ts';
export { type AzureNames, azureNames, type PlanOptions, type ProvisionPlan, provisionPlan } from './provision/plan.ts';
