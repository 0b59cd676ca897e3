/** @file The training step and evaluation of the Azure ML example's network, beside PyTorch's. Medians. */
import { pneumoniaNetwork } from '../src/engine/index.ts';
import type { Bench } from './result.ts';
import { hasTorch, sideBySide } from './side-by-side.ts';

const THREADS = 2;

export const benchTrain: Bench = async function* ({ tiny, note }) {
  const [size, batch] = tiny ? [32, 4] : [224, 32];
  const [turns, steps] = tiny ? [1, 2] : [4, 3];
  const torch = hasTorch();
  if (!torch)
    note(
      'bench train: python3-torch is not installed, so only fedrad is measured (apt-get install python3-torch libopenblas0-pthread)',
    );
  const network = pneumoniaNetwork({ imageSize: size });
  const commands = ['train', 'evaluate'];
  const [ours, peer] = await sideBySide({ network, batch, threads: THREADS, turns, steps }, commands, torch);
  const conditions = `batch ${batch}, ${size}x${size}, ${THREADS} threads`;
  const peerName = peer?.name ?? 'PyTorch channels_last';
  for (const command of commands) {
    const [rate, peerRate] = [ours!.rates[command]!, peer?.rates[command]];
    yield { case: `${command}, ${conditions}`, ours: rate, peer: peerRate, peerName, unit: 'images/s' };
    if (command === 'train')
      yield { case: `peak memory, ${conditions}`, ours: ours!.peakMiB, peer: peer?.peakMiB, peerName, unit: 'MiB' };
  }
};
