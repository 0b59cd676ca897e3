/** @file docs/performance.md: a section for each bench, written when it has been measured. */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { BenchResult } from './result.ts';

export interface Row {
  readonly bench: string;
  readonly case: string;
  readonly ours: number;
  readonly peer: number | null;
  readonly peer_name: string;
  readonly unit: BenchResult['unit'];
  /** Above 1 = fedrad better. */
  readonly ratio: number | null;
}

const path = join(import.meta.dirname, '..', 'docs', 'performance.md');

const TITLES: Readonly<Record<string, string>> = {
  train: 'The network of the Azure ML example',
  roofline: 'The roof over the kernels',
  cost: 'How the cost of training grows',
  round: 'A round that only moves weights',
  overhead: 'What federating costs a hospital',
};

function section(rows: readonly Row[]): string {
  const lines = rows.map(({ case: name, ours, peer, peer_name: peerName, unit, ratio }) => {
    const other = peer === null ? 'not measured' : `${peer} ${unit}, ${peerName}`;
    return `| ${name} | ${ours} ${unit} | ${other} | ${ratio ?? '-'} |`;
  });
  return ['| case | fedrad | peer | ratio |', '|---|---|---|---|', ...lines].join('\n');
}

const introduction = `# Performance

Made by \`npm run bench -- --docs\`, a section at a time: fedrad and its peer take turns in one run, on the same work and the same number of threads; medians.
Absolute figures depend on the machine (here ${cpus().length} cores, ${cpus()[0]?.model.trim()}, Node ${process.versions.node}); read the ratios. A ratio above 1 means
fedrad is faster, or needs less memory. Rows without a peer are of fedrad alone. What was tried, predicted and measured: [bench/NOTES.md](../bench/NOTES.md),
which also says why PyTorch is measured twice (as installed, and with glibc told to keep memory), and what the roof over the kernels is.`;

/** The sections of these benches are written anew; those of the others stay. @param benches in the order of the page */
export function writePage(benches: readonly string[], rows: readonly Row[]): void {
  const sections = new Map<string, string>();
  for (const text of readFileSync(path, 'utf8').split(/^## /m).slice(1)) {
    const [title = '', ...lines] = text.split('\n');
    sections.set(title, lines.join('\n').trim());
  }
  for (const bench of benches) {
    const measured = rows.filter((row) => row.bench === bench);
    if (measured.length > 0) sections.set(TITLES[bench]!, section(measured));
  }
  const parts = benches.flatMap((bench) => {
    const text = sections.get(TITLES[bench]!);
    return text === undefined ? [] : [`## ${TITLES[bench]}\n\n${text}`];
  });
  writeFileSync(path, `${[introduction, ...parts].join('\n\n')}\n`);
}
