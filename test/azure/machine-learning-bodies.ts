/**
 * @file Bodies that the stand-in for Azure Machine Learning takes: component and environment versions, jobs (api-version 2022-10-01, as the
 * models of @azure/arm-machinelearning 2.1.1 describe them). The nodes of a pipeline are open in the published description; what is
 * required of them here is what azure-ai-ml's tests show it sends.
 */
import { z } from 'zod';

const name = z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9\-_]{0,254}$/);
const portName = z.string().regex(/^[a-zA-Z_][a-zA-Z0-9_]*$/);
const nodeName = z.string().regex(/^[a-z_][a-z0-9_]*$/);

const componentSpecSchema = z.strictObject({
  name,
  version: z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9.\-_]{0,29}$/),
  type: z.literal('command'),
  display_name: z.string(),
  description: z.string(),
  is_deterministic: z.boolean(),
  inputs: z.record(
    portName,
    z.strictObject({
      type: z.enum(['uri_folder', 'uri_file', 'number', 'integer', 'boolean', 'string']),
      optional: z.boolean().optional(),
    }),
  ),
  outputs: z.record(portName, z.strictObject({ type: z.literal('uri_folder') })),
  command: z.string().min(1),
  environment: z.string(),
  distribution: z
    .strictObject({ type: z.literal('pytorch'), process_count_per_instance: z.int().positive() })
    .optional(),
});
export type ComponentSpec = z.infer<typeof componentSpecSchema>;

export const componentVersionSchema = z.strictObject({
  properties: z.strictObject({
    description: z.string().optional(),
    isAnonymous: z.boolean().optional(),
    isArchived: z.boolean().optional(),
    componentSpec: componentSpecSchema,
  }),
});

/** Of the published fields those of an environment that is built from a Dockerfile. */
export const environmentVersionSchema = z.strictObject({
  properties: z.strictObject({
    description: z.string().optional(),
    isAnonymous: z.boolean().optional(),
    osType: z.enum(['Linux', 'Windows']).optional(),
    build: z.strictObject({ contextUri: z.url(), dockerfilePath: z.string().optional() }),
  }),
});

const uriSchema = z.string().regex(/^azureml:\/\/datastores\/[^/]+\/paths\/.+$/);
const nodeInputSchema = z.union([
  z.strictObject({ job_input_type: z.literal('literal'), value: z.string() }),
  z.strictObject({
    job_input_type: z.enum(['uri_folder', 'uri_file']),
    mode: z.enum(['ReadOnlyMount', 'ReadWriteMount', 'Download', 'Direct', 'EvalMount', 'EvalDownload']),
    uri: uriSchema,
  }),
]);
const nodeSchema = z.strictObject({
  _source: z.enum(['REMOTE.WORKSPACE.COMPONENT', 'YAML.COMPONENT', 'YAML.JOB', 'CLASS', 'DSL', 'SDK']),
  type: z.literal('command'),
  name: nodeName,
  display_name: z.string(),
  tags: z.record(z.string(), z.string()),
  componentId: z.string(),
  computeId: z.string(),
  identity: z.strictObject({ type: z.enum(['managed_identity', 'user_identity', 'aml_token']) }),
  distribution: z
    .strictObject({ distribution_type: z.literal('PyTorch'), process_count_per_instance: z.int().positive() })
    .optional(),
  resources: z.strictObject({ instance_count: z.int().positive(), instance_type: z.string().optional() }),
  limits: z.strictObject({ job_limits_type: z.literal('Command'), timeout: z.string().regex(/^PT\d+S$/) }).optional(),
  inputs: z.record(portName, nodeInputSchema),
  outputs: z.record(
    portName,
    z.strictObject({
      job_output_type: z.literal('uri_folder'),
      mode: z.enum(['ReadWriteMount', 'Upload', 'Direct']),
      uri: uriSchema,
    }),
  ),
});
export type JobNode = z.infer<typeof nodeSchema>;

export const jobSchema = z.strictObject({
  properties: z.strictObject({
    jobType: z.literal('Pipeline'),
    displayName: z.string(),
    experimentName: name,
    description: z.string(),
    tags: z.record(z.string(), z.string()),
    settings: z.strictObject({ _source: z.string(), continue_on_step_failure: z.boolean() }),
    inputs: z.strictObject({}),
    outputs: z.strictObject({}),
    jobs: z.record(nodeName, nodeSchema),
  }),
});
export type JobBody = z.infer<typeof jobSchema>;
