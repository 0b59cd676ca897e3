/** @file Holds the silos that train in PyTorch against this machine: Python, PyTorch, and as many GPUs or cores as they ask for. */
import { availableParallelism } from 'node:os';
import { fail } from '../base/index.ts';
import { findTorch, type Torch } from '../components/index.ts';
import type { PneumoniaConfig } from '../pipelines/index.ts';

/** Before a run is submitted. Throws where a silo's trainer is not here; gives what the user should know. */
export async function checkTrainers(config: PneumoniaConfig, file: string, home: string): Promise<void> {
  let torch: Torch | undefined;
  for (const [index, silo] of config.federated_learning.silos.entries()) {
    if (silo.trainer !== 'pytorch') continue;
    const where = `${file}: federated_learning.silos[${index}]`;
    torch ??= await findTorch(`${where}.trainer`, { home });
    const processes = silo.process_count_per_instance ?? 1;
    checkProcesses(torch, processes, `${where}.process_count_per_instance`);
  }
}

function checkProcesses({ gpus, torch }: Torch, processes: number, where: string): void {
  const asked = (process.env['CUDA_VISIBLE_DEVICES'] ?? '')
    .split(',')
    .filter((gpu) => gpu.trim() !== '' && gpu !== '-1');
  if (asked.length > gpus.length)
    fail(
      'CUDA_VISIBLE_DEVICES',
      `it names ${asked.length} GPUs, PyTorch ${torch} can use ${gpus.length}`,
      'mend the driver or install a PyTorch for CUDA; to train on the CPU, set it to nothing',
    );
  const [most, what] = gpus.length > 0 ? [gpus.length, 'GPUs'] : [availableParallelism(), 'cores and no GPU'];
  if (processes > most) fail(where, `${processes} processes, but this machine has ${most} ${what}`, `at most ${most}`);
}
