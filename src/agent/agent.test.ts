import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { updatesBucket, type Work } from '../messaging/index.ts';
import { skipWithoutNats, startFederation } from '../messaging/testing.ts';
import type { Step } from '../pipelines/index.ts';
import {
  COMPUTE,
  makeInitialModel,
  openOrchestrator,
  runFedrad,
  siloSteps,
  startAgentProcess,
  workOf,
} from './testing.ts';

/** Long enough to be interrupted. */
const steps = siloSteps(60);
const [upload, preparation, training, evaluation] = [
  'silo_0_upload_data',
  'silo0_preparation',
  'iteration_1_silo0_training',
  'iteration_1_silo0_evaluation',
].map((id) => steps.get(id)!) as [Step, Step, Step, Step];
/** Too long to end before it is stopped. */
const endless: Step = { ...training, parameters: { ...training.parameters, epochs: 1_000_000 } };
const updates = updatesBucket(COMPUTE);

test('the agent of a hospital', { skip: skipWithoutNats }, async (t) => {
  const federation = await startFederation(t, { silos: 1 });
  const { home, membership } = federation.hospitals[0]!;
  const orchestrator = await openOrchestrator(t, federation.federation, createPublicKey(membership.signingKey));
  const initial = await makeInitialModel(steps, federation.folder);
  const imports = join(federation.folder, 'images');
  await mkdir(imports);
  const start = () => startAgentProcess(t, home, '--import', imports);
  let agent = start();
  const outputsOf = async (run: string, step: Step) => {
    const { end } = await orchestrator.end(run, step.id);
    assert.equal(end.kind, 'completed', JSON.stringify(end));
    return end.kind === 'completed' ? end.outputs : {};
  };
  let [data, model] = [{}, ''] as [Work['inputs'], string];
  /** Training in a run of its own, on the data that the first test prepares. */
  const trainingOf = async (run: string): Promise<Work> => {
    const checkpoint = await orchestrator.putModel(run, initial);
    return workOf(run, training, { ...data, checkpoint });
  };

  await t.test('runs steps; what must stay stays, what may leave arrives', async () => {
    await orchestrator.send(workOf('calm_u_000001', upload));
    await outputsOf('calm_u_000001', upload);
    await orchestrator.send(workOf('calm_r_000001', preparation));
    const { prepared_data } = await outputsOf('calm_r_000001', preparation);
    data = { data_silo0: prepared_data! };
    await orchestrator.send(await trainingOf('calm_r_000001'));
    const trained = await outputsOf('calm_r_000001', training);
    model = trained['model']!.sha256;
    assert.match(trained['model']!.path, /datastore_orchestrator/);
    assert.ok(await orchestrator.objects.has(updates, 'calm_r_000001', model));
    assert.equal(await orchestrator.objects.has(updates, 'calm_r_000001', prepared_data!.sha256), false);

    const checkpoint = await orchestrator.putModel('calm_r_000001', initial);
    await orchestrator.send(
      workOf('calm_r_000001', evaluation, { data: prepared_data!, model_iteration_1: checkpoint }),
    );
    const { evaluation: evidence } = await outputsOf('calm_r_000001', evaluation);
    assert.ok(await orchestrator.objects.has(updates, 'calm_r_000001', evidence!.sha256));

    const { messages, seconds } = await orchestrator.end('calm_r_000001', training.id);
    assert.ok(messages.some(({ type }) => type === 'metric') && messages.some(({ type }) => type === 'usage'));
    assert.ok(seconds > 0);
    assert.equal((await orchestrator.talk('calm_r_000001', 'started')).step, preparation.id);
    for (const talk of orchestrator.talks) assert.doesNotMatch(JSON.stringify(talk), /\.png|tmp|home/);
    assert.match(await readFile(join(home, 'agent/logs/calm_r_000001', `${training.id}.log`), 'utf8'), /=/);
  });

  await t.test('work that comes again is answered from the journal, and its object put again', async () => {
    await orchestrator.objects.forget(updates, 'calm_r_000001', model);
    assert.equal(await orchestrator.objects.has(updates, 'calm_r_000001', model), false);
    const begun = agent.log().match(/begun/g)!.length;
    await orchestrator.send(await trainingOf('calm_r_000001'));
    await orchestrator.done();
    assert.ok(await orchestrator.objects.has(updates, 'calm_r_000001', model));
    assert.equal(agent.log().match(/begun/g)!.length, begun);
  });

  await t.test('work that somebody else signed never runs', async () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    await orchestrator.send(await trainingOf('calm_x_000001'), privateKey);
    // Signed for one run, sent for another.
    await orchestrator.send(await trainingOf('calm_x_000002'), undefined, `fedrad.work.${COMPUTE}.calm_x_000003`);
    await orchestrator.done();
    await agent.says(/work that does not count[\s\S]*work that does not count/);
    assert.doesNotMatch(agent.log(), /begun.*run=calm_x/);
  });

  await t.test('what the site does not allow is refused', async () => {
    const leaves = { prepared_data: 'azureml://datastores/datastore_orchestrator/paths/${{name}}/' };
    await symlink(home, join(imports, 'link'));
    const local = (path: string): Partial<Step> => ({ inputs: { source: { from: 'local', path } } });
    const cases: [Partial<Step> & Pick<Step, 'component'>, RegExp][] = [
      [{ ...preparation, compute: 'silo1-01' }, /it is for silo1-01/],
      [{ ...preparation, outputs: leaves }, /must not leave/],
      [{ ...preparation, inputs: { data: { from: 'datastore', path: 'azureml://datastores/other/paths/x' } } }, /else/],
      [
        {
          ...preparation,
          inputs: { data: { from: 'datastore', path: 'azureml://datastores/datastore_silo0/paths/../x' } },
        },
        /<path>/,
      ],
      [{ ...upload, ...local(join(home, 'membership')) }, /in no folder that this hospital imports from/],
      [{ ...upload, ...local(join(imports, 'link', 'membership')) }, /in no folder/],
      [{ ...upload, ...local(`${imports}/../silo0-01`) }, /in no folder/],
    ];
    for (const [index, [step, expected]] of cases.entries()) {
      await orchestrator.send(workOf(`calm_refused_00000${index}`, step as Step));
      const { end } = await orchestrator.end(`calm_refused_00000${index}`, step.id!);
      assert.equal(end.kind, 'refused');
      if (end.kind === 'refused') assert.match(end.error, expected);
      assert.doesNotMatch(JSON.stringify(end), /\/tmp|membership/);
    }
  });

  await t.test('inputs that are gone or damaged are told', async () => {
    const work = await trainingOf('calm_lost_000001');
    const inputs = { ...work.inputs, checkpoint: { ...work.inputs['checkpoint']!, sha256: 'b'.repeat(64) } };
    await orchestrator.send({ ...work, inputs });
    assert.deepEqual((await orchestrator.end('calm_lost_000001', training.id)).end, {
      kind: 'inputs-lost',
      inputs: ['checkpoint'],
    });
    const other = { ...data['data_silo0']!, sha256: 'b'.repeat(64) };
    await orchestrator.send({
      ...(await trainingOf('calm_lost_000002')),
      inputs: { ...work.inputs, data_silo0: other },
    });
    const { end } = await orchestrator.end('calm_lost_000002', training.id);
    assert.equal(end.kind === 'inputs-lost' && end.inputs.includes('data_silo0'), true);
  });

  await t.test('killed in the middle of a step, it runs the step again, to the same bits', async () => {
    await orchestrator.send(await trainingOf('calm_killed_000000'));
    await orchestrator.talk('calm_killed_000000', 'progress');
    await agent.kill('SIGKILL');
    agent = start();
    assert.equal((await outputsOf('calm_killed_000000', training))['model']!.sha256, model);
    assert.match(agent.log(), /begun.*run=calm_killed_000000/);
  });

  await t.test('stopped by SIGTERM, it ends with 0 and the step comes again', async () => {
    await orchestrator.send(await trainingOf('calm_stopped_000000'));
    await orchestrator.talk('calm_stopped_000000', 'progress');
    assert.equal(await agent.kill('SIGTERM'), 0);
    assert.match(agent.log(), /stopped\n$/);
    agent = start();
    assert.equal((await outputsOf('calm_stopped_000000', training))['model']!.sha256, model);
  });

  await t.test('a run that is closed stops its step and leaves nothing', async () => {
    await orchestrator.send({ ...(await trainingOf('calm_closed_000000')), step: endless });
    await orchestrator.talk('calm_closed_000000', 'progress');
    await orchestrator.closeRun('calm_closed_000000');
    await orchestrator.done();
    await orchestrator.closeRun('calm_r_000001', 'COMPLETED');
    // Work of a closed run is not begun.
    await orchestrator.send({ ...(await trainingOf('calm_closed_000000')), step: endless });
    await orchestrator.done();
    assert.equal(agent.log().match(/begun.*run=calm_closed_000000/g)!.length, 1);
    assert.deepEqual(
      orchestrator.ends.filter(({ run }) => run === 'calm_closed_000000'),
      [],
    );
    await agent.says(/the run is CANCELED.*run=calm_closed_000000/);
    await agent.says(/the run is COMPLETED.*run=calm_r_000001/);
    for (const kept of ['outbox', 'cache']) {
      const runs = await readdir(join(home, 'agent', kept));
      assert.deepEqual(
        runs.filter((run) => run === 'calm_closed_000000' || run === 'calm_r_000001'),
        [],
        kept,
      );
    }
  });

  await t.test('work that nobody waits for any more is stopped, and what else the hospital has goes on', async () => {
    await orchestrator.send({ ...(await trainingOf('calm_late_000000')), step: endless });
    await orchestrator.talk('calm_late_000000', 'progress');
    await orchestrator.withdraw('calm_late_000000', [
      { compute: 'silo1-01', step: endless.id, attempt: 1 },
      { compute: COMPUTE, step: endless.id, attempt: 2 },
    ]);
    await orchestrator.send(await trainingOf('calm_next_000000'));
    await orchestrator.heartbeat(({ running }) => running.length === 1 && running[0]!.run === 'calm_late_000000');
    await orchestrator.withdraw('calm_late_000000', [{ compute: COMPUTE, step: endless.id, attempt: 1 }]);
    assert.equal((await outputsOf('calm_next_000000', training))['model']!.sha256, model);
    await orchestrator.done();
    await agent.says(/stopped, the run goes on without it.*run=calm_late_000000/);
    assert.equal(
      orchestrator.ends.some(({ run }) => run === 'calm_late_000000'),
      false,
    );
  });

  await t.test('a server that goes away during a step is survived', async () => {
    await orchestrator.send(await trainingOf('calm_cut_000000'));
    await orchestrator.talk('calm_cut_000000', 'progress');
    await federation.restart();
    assert.equal((await outputsOf('calm_cut_000000', training))['model']!.sha256, model);
    await orchestrator.done();
    assert.equal(agent.log().match(/begun.*run=calm_cut_000000/g)!.length, 1);
  });

  await t.test('one agent for a home; it tells what it does; drained, it finishes that and ends', async () => {
    const second = await runFedrad(home, 'agent');
    assert.equal(second.code, 1);
    assert.match(second.stderr, /^fedrad: agent of .*: another agent runs with this home/m);
    await orchestrator.send(await trainingOf('calm_drained_000000'));
    await orchestrator.talk('calm_drained_000000', 'started');
    const heartbeat = await orchestrator.heartbeat(({ running }) =>
      running.some(({ run }) => run === 'calm_drained_000000'),
    );
    assert.equal(heartbeat.state, 'ready');
    const draining = runFedrad(home, 'agent', 'drain', '--json');
    await agent.says(/draining/);
    const waits = await trainingOf('calm_waits_000000');
    await orchestrator.send(waits);
    assert.equal((await outputsOf('calm_drained_000000', training))['model']!.sha256, model);
    assert.deepEqual(JSON.parse((await draining).stdout), { drained: true });
    assert.equal(await agent.exit(), 0);
    assert.equal(await orchestrator.waiting(), 1);
    assert.equal((await orchestrator.heartbeat(({ state }) => state === 'stopped')).compute, COMPUTE);

    const status = JSON.parse((await runFedrad(home, 'agent', 'status', '--json')).stdout);
    assert.equal(status.alive, false);
    assert.deepEqual([status.ended[0].run, status.ended[0].kind], ['calm_drained_000000', 'completed']);
    const logs = JSON.parse((await runFedrad(home, 'agent', 'logs', 'calm_drained_000000', '--json')).stdout);
    assert.deepEqual(Object.keys(logs), [training.id]);
  });
});
