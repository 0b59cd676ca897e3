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
  const [ours, ...measured] = await sideBySide({ network, batch, threads: THREADS, turns, steps }, commands, torch);
  const conditions = `batch ${batch}, ${size}x${size}, ${THREADS} threads`;
  const peers = measured.length > 0 ? measured : [undefined];
  for (const command of commands) {
    for (const peer of peers) {
      const peerName = peer?.name ?? 'PyTorch channels_last';
      const rate = ours!.rates[command]!;
      yield { case: `${command}, ${conditions}`, ours: rate, peer: peer?.rates[command], peerName, unit: 'images/s' };
      if (command === 'train')
        yield { case: `peak memory, ${conditions}`, ours: ours!.peakMiB, peer: peer?.peakMiB, peerName, unit: 'MiB' };
    }
  }
};
