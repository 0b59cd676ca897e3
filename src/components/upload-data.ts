/** @file Step: fetch radiographs from where the config says and keep this hospital's part of them. */
import type { z } from 'zod';
import { fail } from '../base/index.ts';
import { type Source, uploadData } from '../radiographs/index.ts';
import { outputPath, type StepContext } from './component.ts';
import type { uploadParameters } from './specs.ts';

type Parameters = z.infer<typeof uploadParameters>;

export async function run(context: StepContext<Parameters>): Promise<void> {
  const { parameters, report } = context;
  const summary = await uploadData({
    source: sourceOf(context),
    ...('own' in parameters.source
      ? { siloIndex: 0, siloCount: 1 }
      : { siloIndex: parameters.silo_index, siloCount: parameters.silo_count }),
    partition: parameters.partition,
    seed: parameters.seed,
    output: outputPath(context, 'raw_data_folder'),
    scratch: context.scratch,
    ...(parameters.source.kind === 'kaggle' ? { credentials: credentials(context) } : {}),
    onProgress: (done, total, what) => report.progress(done, total, what),
  });
  report.metric(`silo${parameters.silo_index}/Images Used`, summary.used);
  report.metric(`silo${parameters.silo_index}/Images Offered`, summary.given);
}

function sourceOf({ parameters: { source }, inputs }: StepContext<Parameters>): Source {
  if (source.kind === 'kaggle' || source.kind === 'phantom') return source;
  return {
    kind: source.kind,
    path: inputs.get('source') ?? fail('upload-data', `source ${source.kind} without its input`),
  };
}

function credentials({ secrets }: StepContext<Parameters>) {
  const { kaggleusername: username, kagglekey: key } = secrets;
  if (username && key) return { username, key };
  return fail('key vault', 'the secrets kaggleusername and kagglekey are needed', 'fedrad keyvault secret set --help');
}
