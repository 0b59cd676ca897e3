/**
 * @file Tracking on an MLflow server over its REST API 2.0 (https://mlflow.org/docs/latest/rest-api.html): MLflow's own, and any that
 * speaks it, such as Azure ML's.
 *
 * A call whose answer was lost may have done its work. Parameters, states and experiments are the same when sent twice; a new run carries
 * a tag of its own, by which it is found again; a metric may be there twice, with the same time and step.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { fail } from '../base/index.ts';
import { batchesOf } from './batches.ts';
import { callRest, isProblem, type RestRequest, type RestServer, throwProblem } from './rest-call.ts';
import { type NewRun, Refused, type TrackingStore } from './store.ts';

/** Unlike any other run's. */
const KEY_TAG = 'fedrad.key';

/** MLflow writes ids as text, older servers as numbers. */
const id = z.union([z.string().min(1), z.int()]).transform(String);
const experimentSchema = z.object({
  experiment: z.object({ experiment_id: id, lifecycle_stage: z.string().optional() }),
});
const createdExperimentSchema = z.object({ experiment_id: id });
const runInfoSchema = z.object({ info: z.object({ run_id: id }) });
const createdRunSchema = z.object({ run: runInfoSchema });
const foundRunsSchema = z.object({ runs: z.array(runInfoSchema).default([]) });
const nothing = z.object({});

export function restStore(server: RestServer): TrackingStore {
  const where = `MLflow at ${server.url}`;
  const call = async <T>(request: RestRequest<T>): Promise<T> => {
    const answer = await callRest(server, request);
    return isProblem(answer) ? throwProblem(server, request, answer) : answer;
  };

  const findExperiment = async (name: string): Promise<string | undefined> => {
    const request = {
      method: 'GET' as const,
      path: 'experiments/get-by-name',
      query: { experiment_name: name },
      answer: experimentSchema,
    };
    const answer = await callRest(server, request);
    if (!isProblem(answer)) {
      const { experiment_id: found, lifecycle_stage: stage } = answer.experiment;
      return stage === 'deleted'
        ? fail(where, `experiment "${name}" is deleted there`, `mlflow experiments restore -x ${found}`)
        : found;
    }
    return answer.code === 'RESOURCE_DOES_NOT_EXIST' ? undefined : throwProblem(server, request, answer);
  };

  const findRun = async (experimentId: string, key: string) => {
    const { runs } = await call({
      method: 'POST',
      path: 'runs/search',
      body: { experiment_ids: [experimentId], filter: `tags.\`${KEY_TAG}\` = '${key}'`, max_results: 1 },
      answer: foundRunsSchema,
    });
    return runs[0] === undefined ? undefined : { run: runs[0] };
  };

  return {
    where,
    experiment: async (name) => {
      const found = await findExperiment(name);
      if (found !== undefined) return found;
      try {
        const body = { name };
        return (await call({ method: 'POST', path: 'experiments/create', body, answer: createdExperimentSchema }))
          .experiment_id;
      } catch (error) {
        // Somebody else was quicker, or an earlier try of this call was.
        const made = error instanceof Refused ? await findExperiment(name) : undefined;
        if (made === undefined) throw error;
        return made;
      }
    },
    startRun: async ({ experimentId, name, startedAt, tags }: NewRun) => {
      const key = randomUUID();
      const all = { 'mlflow.runName': name, ...tags, [KEY_TAG]: key };
      const { run } = await call({
        method: 'POST',
        path: 'runs/create',
        body: {
          experiment_id: experimentId,
          run_name: name,
          start_time: startedAt,
          tags: Object.entries(all).map(([tag, value]) => ({ key: tag, value })),
        },
        answer: createdRunSchema,
        alreadyDone: () => findRun(experimentId, key),
      });
      return run.info.run_id;
    },
    log: async (runId, entries) => {
      for (const { metrics, params } of batchesOf(entries)) {
        const body = { run_id: runId, metrics, params };
        await call({ method: 'POST', path: 'runs/log-batch', body, answer: nothing });
      }
    },
    setStatus: async (runId, status, endedAt) => {
      const body = { run_id: runId, status, ...(endedAt === undefined ? {} : { end_time: endedAt }) };
      await call({ method: 'POST', path: 'runs/update', body, answer: nothing });
    },
  };
}
