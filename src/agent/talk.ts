/**
 * @file What a step says while it runs, for whoever looks: sent once, stored nowhere, at most a few messages a second, and nothing while
 * there is no connection. Nothing depends on it; figures and cost come again with the end.
 */
import type { KeyObject } from 'node:crypto';
import { mayLeave } from '../components/index.ts';
import { seal, type Talk, talkSubject } from '../messaging/index.ts';
import type { WorkKey } from './journal.ts';
import type { Link } from './link.ts';

type Message = Talk['message'];

export interface TalkOptions {
  readonly link: Link;
  readonly compute: string;
  readonly signingKey: KeyObject;
  /** Milliseconds. */
  readonly clock: () => number;
}

/** Messages of one step that are let through at once, and then each second. */
const BURST = 20;
const PER_SECOND = 5;

/** Says what one attempt of a step has to say. */
export function openTalk({ link, compute, signingKey, clock }: TalkOptions, { run, step, attempt }: WorkKey) {
  let [allowance, countedAt] = [BURST, clock()];
  return (message: Message): void => {
    const connection = link.now();
    if (!connection) return;
    const now = clock();
    allowance = Math.min(BURST, allowance + ((now - countedAt) / 1000) * PER_SECOND);
    countedAt = now;
    if (allowance < 1) return;
    allowance -= 1;
    const talk: Talk = { kind: 'talk', run, step, attempt, message: mayLeave(message) };
    connection.publish(talkSubject(compute, run), seal(talk, signingKey));
  };
}
