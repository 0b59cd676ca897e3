/** @file Progress of a run: a bar that redraws itself on a terminal, plain lines elsewhere. All of it goes to standard error. */
import type { RunUpdate } from '../backends/index.ts';

export interface ProgressPrinter {
  update(update: RunUpdate): void;
  /** Removes the bar. */
  end(): void;
}

const BAR_WIDTH = 24;
/** Elsewhere a step says something at most so often. */
const LINE_INTERVAL_MS = 10_000;

/** @param now milliseconds, for the pace of plain lines */
export function progressPrinter(out: NodeJS.WriteStream, now: () => number): ProgressPrinter {
  const running = new Map<string, { share: number; text: string; saidAt: number }>();
  let total = 0;
  let finished = 0;
  const clear = (): void => void (out.isTTY && out.write('\r\x1b[K'));
  const say = (line: string): void => {
    clear();
    out.write(`${line}\n`);
  };
  const draw = (): void => {
    if (!out.isTTY) return;
    const share =
      total === 0 ? 0 : (finished + [...running.values()].reduce((sum, step) => sum + step.share, 0)) / total;
    const filled = Math.round(share * BAR_WIDTH);
    const steps = [...running].map(([id, { text }]) => (text === '' ? id : `${id}: ${text}`)).join(' · ');
    const line = `[${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}] ${finished}/${total} ${steps}`;
    out.write(`\r\x1b[K${line.slice(0, Math.max(20, out.columns - 1))}`);
  };
  return {
    update: (update) => {
      switch (update.kind) {
        case 'run-started':
          ({ steps: total, finished } = update);
          say(
            `${total} steps${finished > 0 ? `, ${finished} of them finished before` : ''}; sandbox: ${sandboxText(update.sandbox)}; ${update.cores} cores`,
          );
          break;
        case 'step-started':
          running.set(update.step.id, { share: 0, text: '', saidAt: now() });
          if (!out.isTTY) say(`started   ${update.step.id}${update.attempt > 1 ? ` (attempt ${update.attempt})` : ''}`);
          break;
        case 'progress': {
          const step = running.get(update.step.id);
          if (!step) break;
          step.share = update.total > 0 ? update.done / update.total : 0;
          step.text = `${update.text} (${update.done}/${update.total})`;
          if (out.isTTY || now() - step.saidAt < LINE_INTERVAL_MS) break;
          step.saidAt = now();
          say(`          ${update.step.id}: ${step.text}`);
          break;
        }
        case 'step-waiting':
          say(
            `${update.reason === undefined ? 'goes on  ' : 'waiting  '} ${update.step.id}${update.reason === undefined ? '' : `: ${update.reason}`}`,
          );
          break;
        case 'step-finished':
          running.delete(update.step.id);
          finished += 1;
          say(`finished  ${update.step.id}  ${update.seconds.toFixed(1)} s  (${finished}/${total})`);
          break;
        case 'step-failed':
          running.delete(update.step.id);
          say(`failed    ${update.step.id}: ${update.error}${update.retryInMs === undefined ? '' : '; trying again'}`);
          break;
        case 'step-skipped':
          say(`skipped   ${update.step.id}: ${update.because}`);
          break;
      }
      draw();
    },
    end: clear,
  };
}

const sandboxText = (kind: string): string =>
  kind === 'bubblewrap'
    ? 'bubblewrap'
    : "Node's permissions only (install bubblewrap for a stronger one; steps run on one thread without it)";
