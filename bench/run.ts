/**
 * @file Measures fedrad beside its peers, alternating, in one run: `npm run bench -- [name...] [--json] [--tiny]`.
 *
 * --json prints one object a line: {bench, case, ours, peer, peer_name, unit, ratio}, ratio above 1 = fedrad better; peer and
 * ratio are null where the peer is not installed. --tiny runs a few seconds' worth, to see that a bench still works.
 */
import { messageOf } from '../src/base/index.ts';
import type { Bench } from './result.ts';
import { benchTrain } from './train.ts';

const BENCHES: Readonly<Record<string, Bench>> = { train: benchTrain };

const flags = process.argv.slice(2).filter((argument) => argument.startsWith('--'));
const chosen = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const [json, tiny] = [flags.includes('--json'), flags.includes('--tiny')];

try {
  for (const name of chosen.length > 0 ? chosen : Object.keys(BENCHES)) {
    const bench = BENCHES[name];
    if (bench === undefined) throw new Error(`no bench "${name}"; there are: ${Object.keys(BENCHES).join(', ')}`);
    for await (const { ours, peer, unit, ...result } of bench({
      tiny,
      note: (text) => process.stderr.write(`${text}\n`),
    })) {
      const better = peer === undefined ? null : unit === 'MiB' ? peer / ours : ours / peer;
      const ratio = better === null ? null : Number(better.toFixed(2));
      if (json) {
        const { case: name_, peerName } = result;
        console.log(
          JSON.stringify({ bench: name, case: name_, ours, peer: peer ?? null, peer_name: peerName, unit, ratio }),
        );
      } else {
        const against = peer === undefined ? 'peer not measured' : `${peer} ${unit} ${result.peerName}, ratio ${ratio}`;
        console.log(`${name}: ${result.case}: ${ours} ${unit}, ${against}`);
      }
    }
  }
} catch (error) {
  process.stderr.write(`bench: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
