/** @file `fedrad model predict`: the probability of pneumonia for single images, and where the model saw it. */
import { access, writeFile } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { type Command, Option } from 'commander';
import { fail } from '../base/index.ts';
import { CAM_METHODS, type CamMethod } from '../engine/index.ts';
import { drawOverlay } from '../radiographs/index.ts';
import { makePrivateFolder } from '../workspace/index.ts';
import { printJson, table } from './context.ts';
import { type ModelChoice, modelOptions } from './find-model.ts';
import { thresholdOption } from './options.ts';
import { scoreImages } from './score-images.ts';
import { describeThreshold, useModel, warnOfModel } from './use-model.ts';

interface PredictOptions extends ModelChoice {
  readonly threshold?: number;
  readonly explain?: string;
  readonly explainMethod: CamMethod;
  readonly json?: boolean;
}

export function addPredictCommand(group: Command): void {
  modelOptions(group.command('predict <images...>'))
    .description('probability of pneumonia for single images')
    .option(...thresholdOption)
    .option(
      '--explain <folder>',
      'write a picture for each image into this folder: where the model saw what speaks for pneumonia (class activation map), relative to the highest value in that image; each picture holds the radiograph itself',
    )
    .addOption(
      new Option('--explain-method <method>', 'how the map is made (Selvaraju et al. 2017; Draelos and Carin 2020)')
        .choices(CAM_METHODS)
        .default('grad-cam'),
    )
    .option('--json', 'print as JSON')
    .addHelpText(
      'after',
      `
Example:
  fedrad model predict --model calm_lung_7f3k2q image1.jpeg image2.png
  fedrad model predict --model calm_lung_7f3k2q --explain explained image1.jpeg`,
    )
    .action(async (images: string[], options: PredictOptions, command: Command) => {
      const { explain: folder } = options;
      const used = await useModel(options, command);
      const { model, threshold, thresholdFrom } = used;
      const pictures = folder === undefined ? undefined : await picturePaths(folder, images);
      const drawn = new Map<number, string>();
      const scored = await scoreImages(model, images, {
        threshold,
        method: options.explainMethod,
        ...(pictures && {
          onMap: async (index, map) => {
            // Never over a file that has come to lie there meanwhile.
            await writeFile(pictures[index]!, await drawOverlay(images[index]!, map, options.explainMethod), {
              flag: 'wx',
            });
            drawn.set(index, pictures[index]!);
          },
        }),
      });
      const rows = scored.map((each, index) => (drawn.has(index) ? { ...each, explanation: drawn.get(index)! } : each));
      warnOfModel(used);
      if (options.json)
        printJson(rows.map((row) => (row.label === undefined ? row : { ...row, threshold, thresholdFrom })));
      else {
        console.log(
          table(
            ['IMAGE', 'P(PNEUMONIA)', 'LABEL', ...(pictures ? ['EXPLANATION'] : [])],
            rows.map((row) => [
              row.image,
              row.probability?.toFixed(4) ?? '-',
              row.label ?? `unreadable: ${row.error}`,
              ...('explanation' in row ? [row.explanation] : []),
            ]),
          ),
        );
        console.log(describeThreshold(used));
      }
      if (scored.some(({ error }) => error !== undefined)) process.exitCode = 1;
    });
}

/** Where the picture of each image goes, made of its name; refuses to write over anything. */
async function picturePaths(folder: string, images: readonly string[]): Promise<string[]> {
  const taken = new Set<string>();
  const paths = images.map((image) => {
    const stem =
      basename(image, extname(image))
        .replaceAll(/[^\w.-]/g, '_')
        .slice(0, 100) || 'image';
    for (let number = 1; ; number++) {
      const name = `${stem}${number === 1 ? '' : `-${number}`}.cam.png`;
      // Some disks do not tell upper from lower case.
      if (taken.has(name.toLowerCase())) continue;
      taken.add(name.toLowerCase());
      return join(folder, name);
    }
  });
  await makePrivateFolder(folder);
  for (const path of paths) {
    const exists = await access(path).then(
      () => true,
      () => false,
    );
    if (exists) fail(path, 'there is such a file already', 'give another folder, or remove it');
  }
  return paths;
}
