/**
 * @file The pneumonia pipeline: for each iteration one training step in every silo, one aggregation at the orchestrator, and one
 * evaluation in every silo; at the end the evidence. The Azure ML example's graph, with preparation, evaluation and comparisons.
 */
import { DEFAULT_THRESHOLD } from '../reports/index.ts';
import type { PneumoniaConfig, Silo } from './config.ts';
import { checkGraph, type Graph, type Step, type StepDraft, type StepInput, step } from './graph.ts';
import { networkName, networkOf, optimiserOf, scheduleOf } from './training.ts';

/** The run's own folder in a datastore; `${{name}}` is the run, as in Azure ML. */
/** Where each silo's datastore keeps prepared images for other runs. */
export const CACHE_PATH = 'federated_learning/cache';

const outputPath = (datastore: string, output: string, iteration?: number): string =>
  `azureml://datastores/${datastore}/paths/federated_learning/${output}/\${{name}}/${iteration === undefined ? '' : `iteration_${iteration}/`}`;

const outputOf = (of: string, output: string, optional = false): StepInput => ({
  from: 'step',
  step: of,
  output,
  ...(optional ? { optional } : {}),
});

/** Compiles the config to a graph. */
export function pneumoniaGraph(config: PneumoniaConfig): Graph {
  const { orchestrator, silos } = config.federated_learning;
  const training = config.training_parameters;
  const augmentation = training.augmentation === 'none' ? {} : { augmentation: training.augmentation };
  const minSilos = training.min_silos ?? silos.length;
  /** With fewer silos needed than there are, the run survives the failure of a silo's step. */
  const optional = minSilos < silos.length;
  const steps: Step[] = [];
  const add = (draft: StepDraft): string => {
    steps.push(step(draft));
    return draft.id;
  };

  for (const silo of silos) add(preparation(silo, training.image_size, optional));
  const initial = add({
    id: 'initial_model',
    component: 'initial-model',
    compute: orchestrator.compute,
    inputs: {},
    outputs: { model: outputPath(orchestrator.datastore, 'initial_model') },
    parameters: { network: JSON.parse(JSON.stringify(networkOf(training))), seed: training.seed },
  });

  const trainingStep = (
    id: string,
    name: string,
    draft: Pick<StepDraft, 'compute' | 'inputs' | 'outputs'> & Partial<Step>,
    rounds: { iteration: number; iterations: number; epochs: number },
    trainer: Pick<Silo, 'trainer' | 'process_count_per_instance'> = { trainer: 'fedrad' },
  ) =>
    add({
      id,
      component: trainer.trainer === 'pytorch' ? 'train-in-silo-pytorch' : 'train-in-silo',
      ...draft,
      parameters: {
        metrics_prefix: name,
        iteration_num: rounds.iteration,
        num_of_iterations: rounds.iterations,
        epochs: rounds.epochs,
        lr: training.lr,
        lr_schedule: scheduleOf(training),
        batch_size: training.batch_size,
        optimizer: optimiserOf(training),
        class_weights: training.class_weights,
        ...augmentation,
        proximal_mu: training.proximal_mu,
        seed: training.seed,
        // Where the config says nothing, the machine that it runs on decides.
        ...(trainer.trainer === 'pytorch' && trainer.process_count_per_instance !== undefined
          ? { process_count_per_instance: trainer.process_count_per_instance }
          : {}),
      },
    });

  const evidenceInputs: Record<string, StepInput> = {};
  const evaluationStep = (silo: Silo, models: Record<string, StepInput>, iteration?: number): void => {
    const id = `${iteration === undefined ? 'comparison' : `iteration_${iteration}`}_${silo.name}_evaluation`;
    add({
      id,
      component: 'evaluate-in-silo',
      compute: silo.computes[0]!,
      inputs: { data: outputOf(`${silo.name}_preparation`, 'prepared_data'), ...models },
      outputs: {
        evaluation: outputPath(orchestrator.datastore, `evaluation/${silo.name}`, iteration).replace(
          /\/$/,
          iteration === undefined ? '/comparison/' : '/',
        ),
      },
      parameters: {
        metrics_prefix: silo.name,
        ...(iteration === undefined ? {} : { iteration_num: iteration }),
        batch_size: training.batch_size,
        // Where a rule chooses the threshold, it does so from the counts of all hospitals, at the end.
        threshold: typeof training.threshold === 'number' ? training.threshold : DEFAULT_THRESHOLD,
        seed: training.seed,
      },
      optional,
    });
    const number = silos.indexOf(silo) + 1;
    evidenceInputs[`evaluation_${number}_${iteration ?? 'comparison'}`] = outputOf(id, 'evaluation', optional);
  };

  const { early_stopping: stopping } = training;
  const evaluationsOf = (iteration: number): Record<string, StepInput> =>
    Object.fromEntries(
      silos.map((_, index) => [`evaluation_${index + 1}`, evidenceInputs[`evaluation_${index + 1}_${iteration}`]!]),
    );
  let checkpoint = outputOf(initial, 'model');
  for (let iteration = 1; iteration <= training.num_of_iterations; iteration++) {
    const updates: Record<string, StepInput> = {};
    for (const [index, silo] of silos.entries()) {
      const id = trainingStep(
        `iteration_${iteration}_${silo.name}_training`,
        silo.name,
        {
          compute: silo.computes[0]!,
          inputs: { [`data_${silo.name}`]: outputOf(`${silo.name}_preparation`, 'prepared_data'), checkpoint },
          // The update goes to the orchestrator's datastore, as in the example.
          outputs: { model: outputPath(orchestrator.datastore, `model/${silo.name}`, iteration) },
          optional,
          resources: {
            ...(silo.instance_count === undefined ? {} : { instance_count: silo.instance_count }),
            ...(silo.instance_type === undefined ? {} : { instance_type: silo.instance_type }),
          },
        },
        { iteration, iterations: training.num_of_iterations, epochs: training.epochs },
        silo,
      );
      updates[`input_silo_${index + 1}`] = outputOf(id, 'model', optional);
    }
    const aggregation = add({
      id: `iteration_${iteration}_aggregation`,
      component: 'aggregate-model-weights',
      compute: orchestrator.compute,
      inputs: { checkpoint, ...updates, ...(stopping && iteration > 1 ? evaluationsOf(iteration - 1) : {}) },
      outputs: { aggregated_output: outputPath(orchestrator.datastore, 'aggregated_output', iteration) },
      parameters: {
        iteration_num: iteration,
        aggregation: training.aggregation,
        strategy: training.strategy,
        server_lr: training.server_lr,
        server_momentum: training.server_momentum,
        silos: silos.map((silo) => silo.name),
        ...(stopping ? { patience: stopping.patience } : {}),
      },
      ...(optional ? { minInputs: { prefix: 'input_silo_', count: minSilos } } : {}),
    });
    checkpoint = outputOf(aggregation, 'aggregated_output');
    evidenceInputs[`model_iteration_${iteration}`] = checkpoint;
    for (const silo of silos) evaluationStep(silo, { [`model_iteration_${iteration}`]: checkpoint }, iteration);
  }

  const comparisons: Record<string, StepInput> = {};
  const whole = { iteration: 1, iterations: 1, epochs: training.num_of_iterations * training.epochs };
  if (training.baselines.includes('alone')) {
    for (const silo of silos) {
      const id = trainingStep(
        `${silo.name}_alone_training`,
        `${silo.name}_alone`,
        {
          compute: silo.computes[0]!,
          inputs: {
            [`data_${silo.name}`]: outputOf(`${silo.name}_preparation`, 'prepared_data'),
            checkpoint: outputOf(initial, 'model'),
          },
          outputs: { model: outputPath(orchestrator.datastore, `model/${silo.name}_alone`) },
          optional,
        },
        whole,
        silo,
      );
      comparisons[`model_${silo.name}_alone`] = outputOf(id, 'model', optional);
    }
  }
  if (training.baselines.includes('pooled')) {
    const id = trainingStep(
      'pooled_training',
      'pooled',
      {
        compute: orchestrator.compute,
        inputs: {
          ...Object.fromEntries(
            silos.map((silo) => [`data_${silo.name}`, outputOf(`${silo.name}_preparation`, 'prepared_data')]),
          ),
          checkpoint: outputOf(initial, 'model'),
        },
        outputs: { model: outputPath(orchestrator.datastore, 'model/pooled') },
        optional,
      },
      whole,
    );
    comparisons['model_pooled'] = outputOf(id, 'model', optional);
  }
  if (Object.keys(comparisons).length > 0) for (const silo of silos) evaluationStep(silo, comparisons);

  add({
    id: 'evidence',
    component: 'collect-evidence',
    compute: orchestrator.compute,
    inputs: { ...evidenceInputs, ...comparisons },
    outputs: {
      evidence: outputPath(orchestrator.datastore, 'evidence'),
      best_model: outputPath(orchestrator.datastore, 'best_model'),
      last_model: outputPath(orchestrator.datastore, 'last_model'),
    },
    parameters: {
      num_of_iterations: training.num_of_iterations,
      silos: silos.map((silo) => silo.name),
      training: {
        recipe: training.recipe,
        network: networkName(training),
        optimizer: optimiserOf(training),
        lr_schedule: scheduleOf(training),
        class_weights: training.class_weights,
        ...augmentation,
        ...(training.equalise === undefined ? {} : { equalise: training.equalise }),
        threshold: training.threshold,
      },
      config: Object.fromEntries(
        Object.entries({ ...training, network: networkName(training) }).flatMap(([key, value]) =>
          value === undefined ? [] : [[key, value]],
        ),
      ),
      seed: training.seed,
    },
  });
  const round = roundOf(training);
  const atSilos = new Set(silos.flatMap(({ computes }) => computes));
  const timed = round ? steps.map((each) => (atSilos.has(each.compute) ? { ...each, round } : each)) : steps;
  return checkGraph({ pipeline: 'pneumonia', experiment: 'fl_demo_pneumonia', steps: timed });
}

/** What the config says of hospitals that are late or fail; undefined where it says nothing. */
function roundOf(training: PneumoniaConfig['training_parameters']): Step['round'] {
  const { round_deadline_minutes: minutes, late_updates, suspend_after } = training;
  if (minutes === undefined && late_updates === undefined && suspend_after === undefined) return undefined;
  return {
    ...(minutes === undefined ? {} : { deadline_seconds: minutes * 60 }),
    ...(late_updates === undefined ? {} : { late_updates }),
    ...(suspend_after === undefined ? {} : { suspend_after }),
  };
}

function preparation(silo: Silo, imageSize: number, optional: boolean): StepDraft {
  return {
    id: `${silo.name}_preparation`,
    component: 'prepare-data',
    compute: silo.computes[0]!,
    inputs: { data: { from: 'datastore', path: silo.silo_data.path, mode: silo.silo_data.mode } },
    outputs: { prepared_data: outputPath(silo.datastore, 'prepared_data') },
    parameters: { image_size: imageSize },
    cache: `azureml://datastores/${silo.datastore}/paths/${CACHE_PATH}`,
    optional,
  };
}
