/** @file A run as it might have been, for the tests of the report and for looking at it. Its scores are drawn, not measured. */
import { openRng, sha256 } from '../base/index.ts';
import { type EvaluationInput, summariseScores } from './evaluate.ts';
import type { SplitEvaluation } from './figures.ts';
import { poolEvaluations } from './pool.ts';
import type { ReportData } from './report-data.ts';

const HOSPITALS = [
  { name: 'hospital-north', images: 214, shift: 0 },
  { name: 'hospital-lake', images: 248, shift: 0.8 },
  { name: 'hospital-south', images: 162, shift: -0.6 },
];

/** Scores of a model on one hospital's test images: saturated logits, about 1.6 images per patient with pneumonia. */
function testScores(model: string, silo: number, skill: number): EvaluationInput {
  const { images, shift } = HOSPITALS[silo]!;
  // The patients are the same for every model; only what it makes of them differs.
  const [ward, noise] = [openRng(2026, 'sample', silo), openRng(2026, 'sample', model, silo)];
  const [labels, patients, logits]: [number[], number[], number[]] = [[], [], []];
  for (let patient = 0; labels.length < images - 1; patient++) {
    const label = ward.uniform() < 0.55 ? 1 : 0;
    const own = 1.6 * ward.normal();
    const count = label === 1 && ward.uniform() < 0.45 ? 2 : 1;
    for (let image = 0; image < count; image++) {
      labels.push(label);
      patients.push(patient);
      logits.push((label === 1 ? skill + 0.9 : -skill) + shift + own + 1.8 * noise.normal());
    }
  }
  return {
    probabilities: Float32Array.from(logits, (logit) => 1 / (1 + Math.exp(-logit))),
    labels: Uint8Array.from(labels),
    patients: Int32Array.from(patients),
    seed: 2026,
  };
}

const evaluate = (model: string, skill: number): SplitEvaluation[] =>
  HOSPITALS.map((_, silo) => summariseScores(testScores(model, silo, skill)));

const pool = (perSilo: readonly SplitEvaluation[]) => poolEvaluations(perSilo, { seed: 2026 });

const testSplit = ({ n, positives, patients }: SplitEvaluation): number[] => [n - positives, positives, patients];

/** A complete report of a run over three hospitals. */
export function sampleReport(): ReportData {
  const best = evaluate('federated', 3.6);
  const splits = [
    { train: [402, 1090, 905], validation: [67, 176, 160] },
    { train: [388, 1172, 941], validation: [61, 190, 158] },
    { train: [511, 846, 812], validation: [80, 139, 139] },
  ];
  return {
    title: 'Pneumonia on chest radiographs: three hospitals, five iterations',
    runId: 'pneumonia-2026-11-23-7f3a',
    workspace: 'fl-lake-district',
    startedAt: '2026-11-23T08:12:04Z',
    endedAt: '2026-11-23T08:57:46Z',
    status: 'completed',
    synthetic: false,
    comparison: [
      { kind: 'federated-best', label: 'Federated, best (iteration 4)', evaluation: pool(best) },
      { kind: 'federated-last', label: 'Federated, last (iteration 5)', evaluation: pool(evaluate('last', 3.45)) },
      ...HOSPITALS.map(({ name }, silo) => ({
        kind: 'alone' as const,
        label: `${name} alone`,
        hospital: name,
        evaluation: pool(evaluate(name, [2.3, 2.5, 1.7][silo]!)),
      })),
      { kind: 'pooled', label: 'All data in one place', evaluation: pool(evaluate('pooled', 3.9)) },
    ],
    iterations: [1, 2, 3, 4, 5].flatMap((iteration) =>
      [null, ...HOSPITALS.map(({ name }) => name)].map((hospital, line) => ({
        iteration,
        hospital,
        auroc: [0.912, 0.951, 0.966, 0.972, 0.97][iteration - 1]! + [0, 0.008, -0.012, 0.003][line]! / iteration,
        loss: [0.41, 0.27, 0.21, 0.185, 0.19][iteration - 1]! + [0, -0.03, 0.05, 0.01][line]! / iteration,
      })),
    ),
    hospitals: HOSPITALS.map(({ name }, silo) => ({
      name,
      splits: Object.entries({ ...splits[silo]!, test: testSplit(best[silo]!) }).map(([split, counts]) => {
        const [normal, pneumonia, patients] = counts as [number, number, number];
        return { split, normal, pneumonia, patients };
      }),
      intake: [
        { offered: 1957, used: 1948, setAside: [{ reason: 'the same pixels as another image', images: 9 }] },
        {
          offered: 2070,
          used: 2058,
          setAside: [
            { reason: 'unreadable', images: 3 },
            { reason: 'lateral view', images: 8 },
            { reason: 'no patient id', images: 1 },
          ],
        },
        { offered: 1738, used: 1738, setAside: [] },
      ][silo]!,
      test: best[silo]!,
    })),
    training: [
      { name: 'Network', value: '3 convolutions (32, 64, 128), 2 dense layers; 25,783,554 parameters' },
      { name: 'Image', value: '224 × 224, grey' },
      { name: 'Strategy', value: 'FedAvg, weighted by images' },
      { name: 'Iterations', value: 5 },
      { name: 'Epochs per iteration', value: 5 },
      { name: 'Optimizer', value: 'SGD, learning rate 0.01, momentum 0.9' },
      { name: 'Batch', value: '32 images' },
      { name: 'Dropout', value: 0.2 },
    ],
    privacy: [
      { name: 'Secure aggregation', value: 'on, threshold 2 of 3' },
      { name: 'Differential privacy', value: 'off' },
    ],
    seeds: [
      { name: 'Run', value: 2026 },
      { name: 'Bootstrap', value: 2026 },
    ],
    hashes: {
      model: sha256('model'),
      initialModel: sha256('initial'),
      graph: sha256('graph'),
      manifests: HOSPITALS.map(({ name }) => ({ hospital: name, sha256: sha256(name) })),
    },
    software: [
      { name: 'fedrad', version: '0.1.0' },
      { name: 'Node.js', version: '26.10.0' },
    ],
    execution: {
      sandbox: 'bubblewrap: inputs read-only, no network, empty environment',
      kernels: 'WebAssembly SIMD, relaxed multiply-add fuses, 2 threads',
      machine: { missing: 'the hospitals do not report their machines' },
    },
    steps: [
      ...HOSPITALS.map(({ name }, silo) => ({
        step: 'train-in-silo',
        hospital: name,
        runs: 5,
        wallSeconds: [2210.4, 2388.1, 1971.9][silo]!,
        cpuSeconds: [4301.2, 4633.7, 3822.5][silo]!,
      })),
      { step: 'aggregate', hospital: null, runs: 5, wallSeconds: 8.3, cpuSeconds: 7.9 },
      {
        step: 'evaluate',
        hospital: null,
        runs: 6,
        wallSeconds: 96,
        cpuSeconds: { missing: 'the process was restarted' },
      },
    ],
    limits: ['hospital-lake has radiographs of children only; the other two have adults and children.'],
    repeat: {
      command: 'fedrad run pneumonia --config config.yaml --seed 2026',
      note: 'With the same data manifests, the same seed and kernels that fuse alike, the model has the same SHA-256.',
    },
  };
}
