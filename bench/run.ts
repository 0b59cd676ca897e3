/**
 * @file Measures fedrad beside its peers, alternating, in one run: `npm run bench -- [name...] [--json] [--tiny] [--docs]`.
 *
 * --json prints one object a line: {bench, case, ours, peer, peer_name, unit, ratio}, ratio above 1 = fedrad better; peer and
 * ratio are null where the peer is not installed. --tiny runs a few seconds' worth, to see that a bench still works. --docs
 * also writes the results to docs/performance.md.
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../src/base/index.ts';
import { benchCost } from './cost.ts';
import { benchOverhead } from './overhead.ts';
import type { Bench, BenchResult } from './result.ts';
import { benchRoofline } from './roofline.ts';
import { benchRound } from './round.ts';
import { benchTrain } from './train.ts';

const BENCHES: Readonly<Record<string, Bench>> = {
  train: benchTrain,
  roofline: benchRoofline,
  cost: benchCost,
  round: benchRound,
  overhead: benchOverhead,
};

interface Row {
  readonly bench: string;
  readonly case: string;
  readonly ours: number;
  readonly peer: number | null;
  readonly peer_name: string;
  readonly unit: BenchResult['unit'];
  /** Above 1 = fedrad better. */
  readonly ratio: number | null;
}

function rowOf(bench: string, { case: name, ours, peer, peerName, unit }: BenchResult): Row {
  const better = peer === undefined ? undefined : unit === 'MiB' || unit === 's' ? peer / ours : ours / peer;
  const ratio = better === undefined ? null : Number(better.toFixed(2));
  return { bench, case: name, ours, peer: peer ?? null, peer_name: peerName, unit, ratio };
}

const sentence = ({ bench, case: name, ours, peer, peer_name: peerName, unit, ratio }: Row): string =>
  `${bench}: ${name}: ${ours} ${unit}, ${peer === null ? 'peer not measured' : `${peer} ${unit} ${peerName}, ratio ${ratio}`}`;

const TITLES: Readonly<Record<string, string>> = {
  train: 'The network of the Azure ML example',
  roofline: 'The roof over the kernels',
  cost: 'How the cost of training grows',
  round: 'A round that only moves weights',
  overhead: 'What federating costs a hospital',
};

function section(bench: string, rows: readonly Row[]): string[] {
  if (rows.length === 0) return [];
  const lines = rows.map(({ case: name, ours, peer, peer_name: peerName, unit, ratio }) => {
    const other = peer === null ? 'not measured' : `${peer} ${unit}, ${peerName}`;
    return `| ${name} | ${ours} ${unit} | ${other} | ${ratio ?? '-'} |`;
  });
  return [`## ${TITLES[bench]}\n`, '| case | fedrad | peer | ratio |', '|---|---|---|---|', ...lines, ''];
}

const page = (rows: readonly Row[]): string => `# Performance

Made by \`npm run bench -- --docs\`: fedrad and its peer take turns in one run, on the same work and the same number of threads; medians.
Absolute figures depend on the machine (here ${cpus().length} cores, ${cpus()[0]?.model.trim()}, Node ${process.versions.node}); read the ratios. A ratio above 1 means
fedrad is faster, or needs less memory. Rows without a peer are of fedrad alone. What was tried, predicted and measured: [bench/NOTES.md](../bench/NOTES.md),
which also says why PyTorch is measured twice (as installed, and with glibc told to keep memory), and what the roof over the kernels is.

${Object.keys(BENCHES)
  .flatMap((bench) =>
    section(
      bench,
      rows.filter((row) => row.bench === bench),
    ),
  )
  .join('\n')}`;

const flags = process.argv.slice(2).filter((argument) => argument.startsWith('--'));
const chosen = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));

try {
  const rows: Row[] = [];
  for (const name of chosen.length > 0 ? chosen : Object.keys(BENCHES)) {
    const bench = BENCHES[name];
    if (bench === undefined) throw new Error(`no bench "${name}"; there are: ${Object.keys(BENCHES).join(', ')}`);
    const options = { tiny: flags.includes('--tiny'), note: (text: string) => void process.stderr.write(`${text}\n`) };
    for await (const result of bench(options)) {
      const row = rowOf(name, result);
      rows.push(row);
      console.log(flags.includes('--json') ? JSON.stringify(row) : sentence(row));
    }
  }
  if (flags.includes('--docs')) writeFileSync(join(import.meta.dirname, '..', 'docs', 'performance.md'), page(rows));
} catch (error) {
  process.stderr.write(`bench: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
