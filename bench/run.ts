/**
 * @file Measures fedrad beside its peers, alternating, in one run: `npm run bench -- [name...] [--json] [--tiny] [--docs]`.
 *
 * --json prints one object a line: {bench, case, ours, peer, peer_name, unit, ratio}, ratio above 1 = fedrad better; peer and
 * ratio are null where the peer is not installed. --tiny runs a few seconds' worth, to see that a bench still works. --docs
 * also writes the results to docs/performance.md; the sections of benches that were not chosen stay as they are.
 */
import { buildTestPackage } from '../scripts/test-package.ts';
import { messageOf } from '../src/base/index.ts';
import { type Row, writePage } from './performance-page.ts';
import type { Bench, BenchResult } from './result.ts';

// What runs fedrad runs the package as it is published.
process.env['FEDRAD_TEST_PACKAGE'] = buildTestPackage();

const BENCHES: Readonly<Record<string, () => Promise<Bench>>> = {
  train: async () => (await import('./train.ts')).benchTrain,
  roofline: async () => (await import('./roofline.ts')).benchRoofline,
  cost: async () => (await import('./cost.ts')).benchCost,
  round: async () => (await import('./round.ts')).benchRound,
  overhead: async () => (await import('./overhead.ts')).benchOverhead,
};

function rowOf(bench: string, { case: name, ours, peer, peerName, unit }: BenchResult): Row {
  const better = peer === undefined ? undefined : unit === 'MiB' || unit === 's' ? peer / ours : ours / peer;
  const ratio = better === undefined ? null : Number(better.toFixed(2));
  return { bench, case: name, ours, peer: peer ?? null, peer_name: peerName, unit, ratio };
}

const sentence = ({ bench, case: name, ours, peer, peer_name: peerName, unit, ratio }: Row): string =>
  `${bench}: ${name}: ${ours} ${unit}, ${peer === null ? 'peer not measured' : `${peer} ${unit} ${peerName}, ratio ${ratio}`}`;

const flags = process.argv.slice(2).filter((argument) => argument.startsWith('--'));
const chosen = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));

try {
  const rows: Row[] = [];
  for (const name of chosen.length > 0 ? chosen : Object.keys(BENCHES)) {
    const bench = BENCHES[name];
    if (bench === undefined) throw new Error(`no bench "${name}"; there are: ${Object.keys(BENCHES).join(', ')}`);
    const options = { tiny: flags.includes('--tiny'), note: (text: string) => void process.stderr.write(`${text}\n`) };
    for await (const result of (await bench())(options)) {
      const row = rowOf(name, result);
      rows.push(row);
      console.log(flags.includes('--json') ? JSON.stringify(row) : sentence(row));
    }
  }
  if (flags.includes('--docs')) writePage(Object.keys(BENCHES), rows);
} catch (error) {
  process.stderr.write(`bench: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
