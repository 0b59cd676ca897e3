/** @file A model card as Markdown, with the front matter that model hubs read. */
import { type Figures, INTERVAL_METRICS, type IntervalMetric } from './figures.ts';
import { fraction, interval, whole } from './format.ts';
import { LIMITS, SYNTHETIC_LIMIT } from './limits.ts';
import type { ModelCard } from './model-card.ts';

/** Renders a card; the same card gives the same text. */
export function renderModelCard(card: ModelCard): string {
  const sections: readonly [title: string, body: string][] = [
    ['Model', model(card)],
    ['Intended use', INTENDED_USE],
    ['Training data', data(card)],
    ['Figures', figures(card)],
    ['Training', training(card)],
    ['Privacy', privacy(card)],
    ['Limits', list([...LIMITS, ...splitLimit(card)])],
    ['Use', use(card)],
    ['Hashes', hashes(card)],
    ['Licence', LICENCE],
  ];
  const warning = card.synthetic ? SYNTHETIC_LIMIT : 'For research use only. Not a medical device.';
  return `${FRONT_MATTER}
# Pneumonia on chest radiographs: a federated model

> **${warning}**

${sections.map(([title, body]) => `## ${title}\n\n${body}\n`).join('\n')}`;
}

const FRONT_MATTER = `---
library_name: fedrad
pipeline_tag: image-classification
tags: [federated-learning, chest-x-ray, pneumonia]
---
`;

const list = (lines: readonly string[]): string => lines.map((line) => `- ${line}`).join('\n');

const table = (rows: readonly (readonly string[])[]): string => {
  const [head, ...body] = rows.map((cells) => `| ${cells.join(' | ')} |`);
  return [head, `|${rows[0]!.map((_, column) => (column === 0 ? '---' : '---:')).join('|')}|`, ...body].join('\n');
};

function model({ model: { chosen, iteration, bestBy }, network, hospitals }: ModelCard): string {
  const { imageSize: size, normalisation, labels } = network;
  const which =
    chosen === 'best'
      ? `The best of its run: iteration ${iteration}, chosen by ${bestBy}. Test images had no part in the choice.`
      : `The last of its run: iteration ${iteration}.`;
  return list([
    `Says how probable pneumonia is on a frontal chest radiograph: ${labels.join(' or ')}.`,
    `Trained by fedrad in ${hospitals.length} hospital${hospitals.length === 1 ? '' : 's'}: each trained on its own images, an orchestrator averaged the weights. ${which}`,
    `Network: ${network.layers.map(({ op, count }) => `${count} ${op}`).join(', ')}; ${whole(network.parameters)} parameters.`,
    `Input: the whole image as grey values, resized to ${size} x ${size} pixels (bilinear with antialiasing, aspect not kept);${equalisation(normalisation.equalise)} (pixel / 255 - ${normalisation.mean}) / ${normalisation.std}.`,
    'Output: two logits; their softmax gives the probabilities.',
  ]);
}

const INTENDED_USE = list([
  'For: research on federated learning and on classifiers of radiographs; comparison with other models on the same data.',
  'Not for: diagnosis, triage or any decision about a patient. No authority has cleared it, no reader study was done.',
  'Not for images of another kind: lateral views, CT, photographs of films, ages that the training data does not hold.',
]);

function data({ hospitals }: ModelCard): string {
  const splits = [...new Set(hospitals.flatMap((hospital) => hospital.splits.map(({ split }) => split)))];
  const rows = hospitals.map(({ name, splits: own, offered, used }) => [
    name,
    ...splits.map((split) => {
      const counts = own.find((each) => each.split === split);
      return counts ? `${whole(counts.normal)} / ${whole(counts.pneumonia)} / ${whole(counts.patients)}` : '-';
    }),
    `${whole(used)} of ${whole(offered)}`,
  ]);
  return `Images without pneumonia / with pneumonia / patients. Only \`train\` changed the weights.

${table([['hospital', ...splits, 'images used'], ...rows])}`;
}

function figures({ model: { thresholdBy }, hospitals, test }: ModelCard): string {
  const rows = [
    ['all hospitals', test] as const,
    ...hospitals.map((hospital) => [hospital.name, hospital.test] as const),
  ];
  const notes = rows.flatMap(([name, each]) =>
    INTERVAL_METRICS.filter((metric) => each[metric] === null).map(
      (metric) => `${name}: ${metric} not measured: ${each.notMeasured[metric] ?? 'no reason was given'}`,
    ),
  );
  const head = ['test images of', 'AUROC', 'sensitivity', 'specificity', 'accuracy', 'images', 'patients'];
  const body = rows.map(([name, each]) => [
    name,
    ...INTERVAL_METRICS_IN_ORDER.map((metric) => figure(each, metric)),
    whole(each.n),
    whole(each.patients),
  ]);
  return `With 95 % intervals that know patients. A score from ${Number(test.threshold.toPrecision(4))} on counts as pneumonia: ${thresholdBy}.

${table([head, ...body])}${notes.length > 0 ? `\n\n${list(notes)}` : ''}`;
}

const INTERVAL_METRICS_IN_ORDER: readonly IntervalMetric[] = ['auroc', 'sensitivity', 'specificity', 'accuracy'];

function figure(figures: Figures, metric: IntervalMetric): string {
  const [value, ci95] = [figures[metric], figures[`${metric}_ci95`]];
  return value === null ? '-' : `${fraction(value)}${ci95 ? ` ${interval(ci95)}` : ''}`;
}

function training({ model: { stoppedEarly }, training: settings }: ModelCard): string {
  const shown = Object.entries(settings).filter(([key]) => settings['dp'] === true || !key.startsWith('dp_'));
  const lines = shown.map(([key, value]) => `  ${key}: ${JSON.stringify(value)}`);
  const stop = stoppedEarly ? ' Early stopping ended it before the last planned iteration.' : '';
  return `The keys of fedrad's config.yaml, defaults filled in.${stop}

\`\`\`yaml
training_parameters:
${lines.join('\n')}
\`\`\``;
}

const equalisation = (margin: number | undefined): string =>
  margin === undefined
    ? ''
    : ` its histogram equalised (255 times the share of darker pixels, without a margin of ${margin * 100} % on each side);`;

const privacy = ({ training: { baselines } }: ModelCard): string =>
  list([
    Array.isArray(baselines) && baselines.includes('pooled')
      ? 'This model was trained without images leaving a hospital; weights, counts and score histograms did. But its run also trained a model for comparison on the images of all hospitals in one place (baselines: pooled).'
      : 'Images, file names and scores of patients did not leave a hospital. Weights, counts and score histograms did.',
    'Without differential privacy: weights can reveal something about the images they were trained on. Without secure aggregation: the orchestrator saw the update of each hospital.',
  ]);

const splitLimit = ({ hospitals }: ModelCard): string[] =>
  hospitals.every(({ patientDisjoint }) => patientDisjoint)
    ? []
    : [
        'The images were dealt by file: images of one patient lie in several hospitals, and in training and test. The figures are better than on new patients.',
      ];

const use = ({ network: { imageSize: size, labels } }: ModelCard): string => `\`\`\`sh
fedrad model predict --model model.safetensors image.jpeg
fedrad model export --model model.safetensors --format onnx --output model.onnx
\`\`\`

\`\`\`python
state_dict = safetensors.torch.load_file("model.safetensors")  # names and layouts are PyTorch's

session = onnxruntime.InferenceSession("model.onnx")  # the normalisation is inside
pixels = numpy.float32(image).reshape(1, 1, ${size}, ${size})  # grey values, 0 to 255
(probabilities,) = session.run(["probabilities"], {"pixels": pixels})  # ${labels.join(', ')}
\`\`\``;

function hashes({ model, hospitals, run }: ModelCard): string {
  const rows = [
    ['model.safetensors', model.sha256],
    ...(run ? [['graph of the run’s steps', run.graphSha256]] : []),
    ...hospitals.map(({ name, manifestSha256 }) => [`list of the images of ${name}`, manifestSha256]),
  ].map(([name, sha256]) => [name!, `\`${sha256}\``]);
  return `${run ? `Run \`${run.id}\`; card written by fedrad ${run.fedrad}.\n\n` : ''}${table([['SHA-256 of', ''], ...rows])}

The same config, seed and data give the same model.`;
}

const LICENCE =
  'The rights to the images stay with the hospitals that hold them; whoever publishes this model asks them first and states a licence here.';
