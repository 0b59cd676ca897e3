/** @file Step: decode a hospital's radiographs once, so that no epoch decodes an image again. */
import type { z } from 'zod';
import { prepare } from '../radiographs/index.ts';
import { inputPath, outputPath, type StepContext } from './component.ts';
import { writeDataFacts } from './data-facts.ts';
import type { prepareParameters } from './specs.ts';

export async function run(context: StepContext<z.infer<typeof prepareParameters>>): Promise<void> {
  const data = inputPath(context, 'data');
  const output = outputPath(context, 'prepared_data');
  const prepared = await prepare({
    data,
    output,
    ...(context.cache === undefined ? {} : { cache: context.cache }),
    imageSize: context.parameters.image_size,
    onProgress: (done, total) => context.report.progress(done, total, 'images decoded'),
  });
  await writeDataFacts(data, prepared, output);
  context.report.note(`${prepared.decoded} images decoded, the others came from the cache`);
}
