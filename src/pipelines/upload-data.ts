/** @file The data provisioning pipeline: one upload step in every silo, each of which keeps only its own part of the images. */
import { resolve } from 'node:path';
import type { UploadConfig } from './config.ts';
import { checkGraph, type Graph, type StepInput, step } from './graph.ts';
import { parseUploadSource } from './upload-source.ts';

/** Compiles the config to a graph. Relative paths of the source are taken from `currentFolder`. */
export function uploadGraph(config: UploadConfig, example: string, currentFolder: string): Graph {
  const { data } = config;
  const source = parseUploadSource(data.source);
  const { silos } = config.federated_learning;
  const parameters = (index: number) => ({
    source:
      source.kind === 'kaggle'
        ? { kind: source.kind, baseUrl: data.kaggle_url, dataset: source.dataset }
        : source.kind === 'phantom'
          ? { kind: source.kind, imagesPerSilo: source.imagesPerSilo, imageSize: data.phantom_size }
          : source.kind === 'datastore'
            ? { kind: source.holds, ...(source.datastore === undefined ? { own: true } : {}) }
            : { kind: source.kind },
    silo_index: index,
    silo_count: silos.length,
    partition: {
      method: data.partition.method,
      ...(data.partition.label_skew_alpha === undefined ? {} : { labelSkewAlpha: data.partition.label_skew_alpha }),
      ...(data.partition.size_skew === undefined ? {} : { sizeSkew: data.partition.size_skew }),
    },
    seed: data.seed,
  });
  const inputs = (own: string): Record<string, StepInput> => {
    if (source.kind === 'datastore') {
      const path = `azureml://datastores/${source.datastore ?? own}/paths/${source.path}`;
      return { source: { from: 'datastore', path } };
    }
    return 'path' in source ? { source: { from: 'local', path: resolve(currentFolder, source.path) } } : {};
  };
  return checkGraph({
    pipeline: 'upload-data',
    experiment: 'fl_demo_upload_data',
    steps: silos.map((silo, index) =>
      step({
        id: `silo_${index}_upload_data`,
        component: 'upload-data',
        compute: silo.compute,
        inputs: inputs(silo.datastore),
        outputs: {
          raw_data_folder: `azureml://datastores/${silo.datastore}/paths/federated_learning/${example.toLowerCase()}/`,
        },
        parameters: parameters(index),
        secrets: source.kind === 'kaggle' ? ['kaggleusername', 'kagglekey'] : [],
        network: source.kind === 'kaggle',
        replace: true,
        resources: silo.instance_type === undefined ? {} : { instance_type: silo.instance_type },
      }),
    ),
  });
}
