/**
 * @file Gives out again the work that is given out, the latest first, as a broker does that delivers twice and in another order. Runs on the
 * orchestrator's host, with its credentials: `node repeat-work.ts <home>`. Prints how many messages it repeated.
 */
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { openFederation, WORK_STREAM } from '../../src/messaging/index.ts';

const MOST = 20;
const WAIT_MS = 5000;

const federation = await openFederation(process.argv[2]!, 'aml-fldemo');
const connection = await federation.connect('chaos', { waitMs: WAIT_MS });
try {
  const jsm = await jetstreamManager(connection);
  const { state } = await jsm.streams.info(WORK_STREAM);
  let repeated = 0;
  for (let sequence = state.last_seq; sequence >= state.first_seq && sequence > 0 && repeated < MOST; sequence--) {
    const message = await jsm.streams.getMessage(WORK_STREAM, { seq: sequence });
    // Taken and done in the meantime.
    if (message === null) continue;
    await jetstream(connection).publish(message.subject, message.data);
    repeated++;
  }
  console.log(repeated);
} finally {
  await connection.close();
}
