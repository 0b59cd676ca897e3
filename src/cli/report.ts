/** @file The evidence report of a run: its events and the figures of its last step, put into one page. */
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fail } from '../base/index.ts';
import { type Evidence, evidenceSchema } from '../components/index.ts';
import type { Optimiser } from '../engine/index.ts';
import {
  networkName,
  optimiserOf,
  type PneumoniaConfig,
  parseConfig,
  pneumoniaConfigSchema,
  scheduleOf,
  type Training,
} from '../pipelines/index.ts';
import { comparisonTable, type Missing, type ReportData, renderReport } from '../reports/index.ts';
import { foldRun, type RunHistory, type RunState } from '../workspace/index.ts';
import { packageVersion } from './package-version.ts';
import { evidenceOutputs } from './run-azure.ts';
import { outputFolder, readGraph, runFiles } from './run-folder.ts';

export interface Report {
  readonly html: string;
  readonly evidence: Evidence;
  /** The comparison as a plain text table. */
  readonly summary: string;
}

/** Makes the report of a completed run. */
export async function makeReport(home: string, history: RunHistory, runId: string): Promise<Report> {
  const { evidence: output } = await evidenceOutputs(home, history, runId);
  const state = foldRun(history.events(runId));
  if (!output)
    return fail(
      `run ${runId}`,
      `it has no evidence yet: ${state.pipeline} ${state.status}`,
      `fedrad run show ${runId}`,
    );
  const folder = await outputFolder(home, runId, state.workspace, 'evidence', output.path);
  const evidence = evidenceSchema.parse(JSON.parse(await readFile(join(folder, 'evidence.json'), 'utf8')));
  const config = parseConfig(
    await readFile(runFiles(home, runId).config, 'utf8'),
    pneumoniaConfigSchema,
    `config.yaml of ${runId}`,
  );
  const components = new Map(
    (await readGraph(home, runId)).steps.map(({ id, component, compute }) => [id, { component, compute }]),
  );
  const data = reportData(runId, state, evidence, config, components);
  return { html: renderReport(data), evidence, summary: comparisonTable(data.comparison) };
}

type StepPlace = { readonly component: string; readonly compute: string };

function reportData(
  runId: string,
  state: RunState,
  evidence: Evidence,
  config: PneumoniaConfig,
  places: ReadonlyMap<string, StepPlace>,
): ReportData {
  const { silos } = config.federated_learning;
  const of = (model: string) => evidence.iterations.find((each) => each.model === model)!;
  const [best, last] = [of(evidence.best), of(evidence.last)];
  const { seed, baselines } = config.training_parameters;
  return {
    title: 'Pneumonia on chest radiographs: a federated model',
    runId,
    workspace: state.workspace,
    startedAt: state.submittedAt,
    endedAt: state.finishedAt ?? missing('the run has not ended'),
    status: STATUS[state.status],
    synthetic: best.silos.some(({ data }) => data.synthetic),
    comparison: comparisonRows(
      evidence,
      silos.map(({ name }) => name),
      baselines,
    ),
    iterations: evidence.iterations.flatMap(({ val, silos: perSilo }, index) => [
      { iteration: index + 1, hospital: null, auroc: val.auroc, loss: val.logLoss },
      ...perSilo.map((each) => ({
        iteration: index + 1,
        hospital: each.silo,
        auroc: each.val.auroc,
        loss: each.val.logLoss,
      })),
    ]),
    hospitals: silos.map(({ name }) => hospitalData(name, best)),
    training: [...trainingFacts(config, evidence), ...trainerFacts(config, state.started?.sandbox === 'azure-ml')],
    privacy: missing(
      'no differential privacy and no secure aggregation in this run: the orchestrator sees the updates',
    ),
    seeds: [{ name: 'run', value: seed }],
    hashes: {
      model: evidence.files?.best ?? best.sha256 ?? missing('not recorded'),
      initialModel: state.steps.get('initial_model')?.outputs['model']?.sha256 ?? missing('not recorded'),
      graph: state.graphHash,
      manifests: silos.map(({ name }) => ({
        hospital: name,
        sha256:
          best.silos.find(({ silo }) => silo === name)?.data.manifestSha256 ?? missing('no manifest with this data'),
      })),
    },
    software: [
      { name: 'fedrad', version: packageVersion },
      { name: 'Node.js', version: process.versions.node },
    ],
    execution: {
      sandbox: state.started?.sandbox ?? missing('not recorded'),
      kernels: state.started?.kernels ?? missing('not recorded'),
      machine:
        state.started?.sandbox === 'azure-ml'
          ? 'computes of Azure ML'
          : `${state.started?.cores ?? '?'} cores, ${cpus()[0]?.model ?? process.arch}`,
    },
    steps: stepRows(state, places, new Map(silos.map(({ name, computes }) => [computes[0]!, name]))),
    limits: [
      splitLimit(best),
      ...(last === best
        ? []
        : [`The best iteration was chosen by ${evidence.bestBy}; its test figures were not used for the choice.`]),
    ],
    repeat: {
      command: 'fedrad submit pneumonia --config config.yaml --wait',
      note: `With the config of this run (kept in its folder), the same data and seed ${seed}, the model has the same SHA-256.`,
    },
  };
}

/** What the split of the images means for the figures. */
function splitLimit({ silos }: Evidence['iterations'][number]): string {
  const byFile = silos.some(({ data }) => data.share.partition['method'] === 'round-robin');
  return byFile
    ? 'The images were dealt by file: images of one patient lie in several hospitals, and in training and test. The figures are better than on new patients.'
    : 'No patient, as far as file names tell patients apart, is in two hospitals or in two splits.';
}

const missing = (reason: string): Missing => ({ missing: reason });

const STATUS = {
  COMPLETED: 'completed',
  FAILED: 'failed',
  CANCELED: 'cancelled',
  RUNNING: 'running',
  WAITING: 'running',
  DEGRADED: 'running',
  QUEUED: 'running',
} as const;

function comparisonRows(
  evidence: Evidence,
  silos: readonly string[],
  baselines: readonly string[],
): ReportData['comparison'] {
  const testOf = (model: string, baseline: string) =>
    evidence.comparisons.find((each) => each.model === model)?.test ??
    missing(`not trained in this run (baselines: [${baseline}])`);
  const iteration = (model: string) => evidence.iterations.find((each) => each.model === model)!.test;
  return [
    {
      kind: 'federated-best',
      label: `Federated, best (${evidence.best.replace('_', ' ')})`,
      evaluation: iteration(evidence.best),
    },
    ...(evidence.last === evidence.best
      ? []
      : [
          {
            kind: 'federated-last' as const,
            label: `Federated, last (${evidence.last.replace('_', ' ')})`,
            evaluation: iteration(evidence.last),
          },
        ]),
    ...(baselines.includes('alone') ? silos : []).map((silo) => ({
      kind: 'alone' as const,
      label: `${silo} alone`,
      hospital: silo,
      evaluation: testOf(`${silo}_alone`, 'alone'),
    })),
    ...(baselines.includes('pooled')
      ? [{ kind: 'pooled' as const, label: 'All data pooled', evaluation: testOf('pooled', 'pooled') }]
      : []),
  ];
}

function hospitalData(name: string, best: Evidence['iterations'][number]): ReportData['hospitals'][number] {
  const own = best.silos.find(({ silo }) => silo === name);
  if (!own)
    return {
      name,
      splits: [],
      intake: missing('this hospital did not finish'),
      test: missing('this hospital did not finish'),
    };
  return {
    name,
    splits: [...own.data.splits],
    intake: own.data.intake ?? missing('the data has no summary'),
    test: own.test,
  };
}

function trainingFacts({ training_parameters: training }: PneumoniaConfig, evidence: Evidence): ReportData['training'] {
  const { threshold } = evidence.iterations.find(({ model }) => model === evidence.best)!.test;
  const facts: Record<string, string | number> = {
    Recipe: training.recipe,
    Network: networkWords(training),
    'Image size': `${training.image_size} x ${training.image_size} pixels, grey`,
    Iterations:
      evidence.stoppedAfter === undefined
        ? training.num_of_iterations
        : `${evidence.stoppedAfter} of at most ${training.num_of_iterations}: early stopping, patience ${training.early_stopping?.patience}`,
    'Epochs an iteration': training.epochs,
    'Batch size': training.batch_size,
    Optimiser: optimiserWords(optimiserOf(training)),
    'Learning rate': training.lr,
    'Learning-rate schedule': optionWords(scheduleOf(training)),
    'Class weights': Array.isArray(training.class_weights)
      ? `NORMAL ${training.class_weights[0]}, PNEUMONIA ${training.class_weights[1]}`
      : training.class_weights === 'balanced'
        ? 'balanced by each hospital’s own labels'
        : 'none',
    Augmentation:
      training.augmentation === 'none'
        ? 'none'
        : optionWords({ kind: 'each image in each epoch', ...training.augmentation }),
    Equalisation:
      training.equalise === undefined
        ? 'none'
        : `of each image’s histogram, a margin of ${training.equalise * 100} % not counted`,
    Strategy: training.strategy === 'fedavgm' ? `fedavgm, momentum ${training.server_momentum}` : training.strategy,
    'Server learning rate': training.server_lr,
    Aggregation: training.aggregation === 'examples' ? 'weighted by training images' : 'every hospital counts the same',
    ...(training.proximal_mu > 0 ? { 'FedProx mu': training.proximal_mu } : {}),
    Threshold: `${Number(threshold.toPrecision(4))}, ${evidence.thresholdBy ?? 'fixed beforehand'}`,
  };
  return Object.entries(facts).map(([name, value]) => ({ name, value }));
}

function networkWords(training: Training): string {
  const name = networkName(training);
  const { channels = [32, 64, 128], hidden = 256 } = training;
  return name === 'pneumonia'
    ? `pneumonia: ${channels.length} convolutions (${channels.join(', ')} channels), dense ${hidden}, 2 classes`
    : name;
}

const optimiserWords = (optimiser: Optimiser): string =>
  optionWords({ ...optimiser, kind: { sgd: 'SGD', adam: 'Adam', adamw: 'AdamW' }[optimiser.kind] });

/** cosine, min_factor 0.1: the kind, then the options that are not off. */
const optionWords = ({ kind, ...options }: { kind: string } & Record<string, unknown>): string =>
  [
    kind,
    ...Object.entries(options)
      .filter(([, value]) => value !== 0 && value !== false)
      .map(([name, value]) => `${name.replaceAll('_', ' ')} ${Array.isArray(value) ? value.join(' and ') : value}`),
  ].join(', ');

/** Who trained in PyTorch; nothing where nobody did. */
function trainerFacts({ federated_learning: { silos } }: PneumoniaConfig, onAzure: boolean): ReportData['training'] {
  const processes = (given: number | undefined): string =>
    given === undefined && onAzure
      ? 'a process for each GPU'
      : `${given ?? 1} process${(given ?? 1) === 1 ? '' : 'es'}`;
  return silos
    .filter(({ trainer }) => trainer === 'pytorch')
    .map(({ name, process_count_per_instance: given }) => ({
      name: `Trainer of ${name}`,
      value: `PyTorch, ${processes(given)}`,
    }));
}

function stepRows(
  state: RunState,
  places: ReadonlyMap<string, StepPlace>,
  hospitals: ReadonlyMap<string, string>,
): ReportData['steps'] {
  const rows = new Map<
    string,
    { step: string; hospital: string | null; runs: number; wallSeconds: number; cpuSeconds: number }
  >();
  for (const [id, { attempts }] of state.steps) {
    const place = places.get(id);
    const last = attempts.at(-1);
    if (!place || last?.status !== 'completed') continue;
    const hospital = hospitals.get(place.compute) ?? null;
    const key = `${place.component} ${hospital}`;
    const row = rows.get(key) ?? { step: place.component, hospital, runs: 0, wallSeconds: 0, cpuSeconds: 0 };
    rows.set(key, {
      ...row,
      runs: row.runs + 1,
      wallSeconds: row.wallSeconds + last.seconds,
      cpuSeconds: row.cpuSeconds + last.cpuSeconds,
    });
  }
  return [...rows.values()];
}
