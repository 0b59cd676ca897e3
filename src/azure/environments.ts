/**
 * @file The two environments that steps run in: Node and fedrad; and with CUDA and PyTorch, for the PyTorch trainer. Their Dockerfiles
 * are in `deploy/azure/environments/`. An environment's version is fedrad's, so what a component names is what it was made for.
 */
import { join } from 'node:path';
import type { CommandComponent, EnvironmentKind } from './pipeline-components.ts';

export interface EnvironmentName {
  readonly name: string;
  readonly version: string;
}

/** The environment of a component, as it is registered in the workspace. */
export const environmentOf = ({ environment, version }: CommandComponent): EnvironmentName => ({
  name: `fedrad-${environment}`,
  // The component's version is fedrad's and a hash.
  version: version.slice(0, version.lastIndexOf('-')),
});

/** `azureml:fedrad-cpu:<version>` */
export const environmentReference = (component: CommandComponent): string => {
  const { name, version } = environmentOf(component);
  return `azureml:${name}:${version}`;
};

/** The folder of an environment's Dockerfile and `environment.yaml`. */
export const environmentFolder = (kind: EnvironmentKind): string =>
  join(import.meta.dirname, '..', '..', 'deploy', 'azure', 'environments', kind);
