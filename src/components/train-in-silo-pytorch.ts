/**
 * @file Step: train the global model on one hospital's images in PyTorch, on GPUs where there are some. The work is done by
 * pytorch/train_in_silo.py, in as many processes as the config says; several under torch.distributed.run (which is what `torchrun`
 * starts). One is started alone: a launcher would load PyTorch a second time.
 *
 * Python writes its JSON lines to this process's standard output. Its standard input is a pipe from here: when this process dies,
 * whatever of, the pipe ends and with it every process of Python.
 */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { fail } from '../base/index.ts';
import type { StepContext } from './component.ts';
import { handOn } from './hand-on.ts';
import { findTorch, GPUS_VARIABLE, PYTHON_VARIABLE, TRAINER } from './pytorch/find-torch.ts';
import type { pytorchTrainParameters } from './specs.ts';
import { stepArguments } from './step-arguments.ts';

const failureSchema = z.object({
  refused: z.boolean(),
  where: z.string(),
  problem: z.string(),
  remedy: z.string().nullable(),
});

export async function run(context: StepContext<z.infer<typeof pytorchTrainParameters>>): Promise<void> {
  const { scratch, threads, inputs, outputs } = context;
  const { process_count_per_instance: processes = 1, ...parameters } = context.parameters;
  if (await handOn(context, parameters.metrics_prefix)) return;
  // The backend has looked for it already; by hand nobody has.
  const python = process.env[PYTHON_VARIABLE] ?? (await findTorch('train-in-silo-pytorch')).python;
  const step = { component: 'train-in-silo', inputs, outputs, parameters, scratch, threads, attached: true } as const;
  const { code, by } = await start(
    python,
    ['-B', ...(processes === 1 ? [] : launcher(processes)), TRAINER, ...stepArguments(step)],
    scratch,
    environmentOf(context, processes),
    context.report.relay,
  );
  if (code === 0) return;
  const failure = failureSchema.safeParse(
    await readFile(join(scratch, 'failure.json'), 'utf8').then(JSON.parse, () => undefined),
  ).data;
  if (!failure) throw new Error(`PyTorch ended with ${by ?? `exit code ${code}`}`);
  const { refused, where, problem, remedy } = failure;
  if (refused) fail(where, problem, remedy ?? undefined);
  throw new Error(problem);
}

function launcher(processes: number): string[] {
  // Python 3.11 cannot name "redirect nothing" to PyTorch 1.13; redirecting a process that does not exist says the same.
  const redirectNothing = processes <= 9 ? ['--redirects', `${processes}:1`, '--tee', `${processes}:1`] : [];
  return [
    ...['-m', 'torch.distributed.run'],
    ...['--nproc_per_node', String(processes), '--max_restarts', '0', ...redirectNothing],
    // How often it looks whether its processes have ended: PyTorch 1.13 every 5 s, so that a step would end up to 5 s late.
    ...['--monitor_interval', '0.1'],
    // The processes meet through a file; the launcher itself still wants an address.
    ...['--rdzv_backend', 'static', '--master_addr', '127.0.0.1', '--master_port', '0'],
  ];
}

/** All that Python gets of an environment. */
function environmentOf({ scratch, threads }: StepContext<unknown>, processes: number): Record<string, string> {
  const each = String(Math.max(1, Math.floor(threads / processes)));
  const passed = ['PYTHONPATH', 'CUDA_VISIBLE_DEVICES', GPUS_VARIABLE].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    ...Object.fromEntries(passed),
    HOME: scratch,
    TMPDIR: scratch,
    OMP_NUM_THREADS: each,
    MKL_NUM_THREADS: each,
    OPENBLAS_NUM_THREADS: each,
    PYTHONDONTWRITEBYTECODE: '1',
    PYTHONNOUSERSITE: '1',
    // Without it matrix products on CUDA do not repeat their bits.
    CUBLAS_WORKSPACE_CONFIG: ':4096:8',
    // Processes talk over the machine's loopback, whatever its name resolves to.
    GLOO_SOCKET_IFNAME: process.platform === 'darwin' ? 'lo0' : 'lo',
    NCCL_SOCKET_IFNAME: 'lo',
  };
}

function start(
  file: string,
  args: readonly string[],
  cwd: string,
  env: Record<string, string>,
  relay: ((line: string) => void) | undefined,
): Promise<{ code: number | null; by: NodeJS.Signals | null }> {
  const child = spawn(file, args, { cwd, env, stdio: ['pipe', relay ? 'pipe' : 'inherit', 'inherit'] });
  if (relay && child.stdout) createInterface({ input: child.stdout }).on('line', relay);
  child.stdin!.on('error', () => {});
  // No secrets; the pipe stays open for as long as this process lives.
  child.stdin!.write('{}\n');
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    // After the last line.
    child.once('close', (code, by) => resolve({ code, by }));
  });
}
