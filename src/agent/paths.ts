/** @file Where an agent keeps its things in the home of its hospital. */
import { join } from 'node:path';

export const agentPaths = (home: string) => {
  const folder = join(home, 'agent');
  return {
    folder,
    lock: join(folder, 'lock'),
    journal: join(folder, 'journal.sqlite'),
    status: join(folder, 'status.json'),
    /** While it is there, the agent takes no new work. */
    drain: join(folder, 'drain'),
    vault: join(folder, 'vault'),
    /** The hospital's data. */
    datastore: (name: string) => join(folder, 'datastores', name),
    /** What waits to be sent, and what was, until its run is closed. */
    outboxes: join(folder, 'outbox'),
    outbox: (run: string) => join(folder, 'outbox', run),
    /** Models that came, until their run is closed. */
    cache: join(folder, 'cache'),
    work: join(folder, 'work'),
    logs: join(folder, 'logs'),
    runLogs: (run: string) => join(folder, 'logs', run),
  };
};
