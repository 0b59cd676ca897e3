/** @file Trying again while the broker is away: it may restart at any moment, and the client reconnects by itself. */
import { setTimeout as sleep } from 'node:timers/promises';
import { FedradError, fail, messageOf } from '../base/index.ts';

const [FIRST_DELAY_MS, LAST_DELAY_MS] = [100, 5000];
/** A broker that is away for longer ends the step; the run can be resumed. */
const GIVE_UP_MS = 60 * 60_000;

/**
 * What `action` gives, however often it takes within an hour. A FedradError is final: trying again would give the same.
 *
 * @param onProblem hears what it waits for, once for each different answer (default: nobody)
 * @throws what `signal` was aborted with, or FedradError after an hour
 */
export async function patiently<T>(
  what: string,
  action: () => Promise<T>,
  signal: AbortSignal,
  onProblem: (text: string) => void = () => {},
): Promise<T> {
  const end = performance.now() + GIVE_UP_MS;
  let told = '';
  for (let delay = FIRST_DELAY_MS; ; delay = Math.min(2 * delay, LAST_DELAY_MS)) {
    signal.throwIfAborted();
    try {
      return await action();
    } catch (error) {
      if (error instanceof FedradError) throw error;
      signal.throwIfAborted();
      const text = messageOf(error);
      if (text !== told) onProblem(`waiting for ${what}: ${text}`);
      told = text;
      if (performance.now() > end)
        fail(what, `nats-server did not take it within an hour: ${text}`, 'start it, then fedrad run resume', error);
    }
    await sleep(delay, undefined, { signal });
  }
}
