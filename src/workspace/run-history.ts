/**
 * @file Run history: one append-only log of events for all runs of a home, in SQLite.
 *
 * Write-ahead logging lets several processes read while one writes; `synchronous=FULL` makes an event that was
 * appended survive a power cut. The state of a run is never stored, only folded from its events.
 */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fail } from '../base/index.ts';
import { makePrivateFolder } from './disk.ts';
import { type FileLock, isHeld, tryLock, waitForLock } from './file-lock.ts';
import { homePaths, prepareHome } from './home.ts';
import { didYouMean } from './names.ts';
import { type RunEvent, runEventSchema, type SubmittedEvent } from './run-event.ts';
import { checkRunId } from './run-id.ts';
import { foldRun, type RunState } from './run-state.ts';
import { explainSqlite } from './sqlite-errors.ts';
import { firstIssue } from './stored-json.ts';

/** An event with its place in its run, from 1. */
export type RecordedEvent = RunEvent & { readonly seq: number };

export type RunSummary = { readonly id: string } & Omit<RunState, 'steps'>;

/** A run held by this process until released or until the process dies, however it dies. */
export type RunLock = FileLock;

export interface RunHistory extends Disposable {
  /** Records a new run by its `submitted` event. @throws FedradError when the id is taken */
  create(run: { readonly id: string } & Omit<SubmittedEvent, 'type'>): void;
  /** Appends an event and returns its seq: unique and increasing within the run, whoever else appends. */
  append(runId: string, event: Exclude<RunEvent, SubmittedEvent>): number;
  /** The run's events in order, only those after `afterSeq` (default 0: all). */
  events(runId: string, afterSeq?: number): readonly RecordedEvent[];
  /** All runs in the order of their creation. */
  list(): readonly RunSummary[];
  /** Takes the run for this process, or returns undefined where somebody holds it. */
  lock(runId: string): RunLock | undefined;
  isLocked(runId: string): boolean;
  close(): void;
}

const SCHEMA_VERSION = 1;
const BUSY_TIMEOUT_MS = 10_000;
/** Longer than another process needs to ask whether a run is locked. */
const LOCK_PATIENCE_MS = 100;

const SCHEMA = `
  CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL,
    seq INTEGER NOT NULL,
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (run, seq)
  ) STRICT;
  CREATE TRIGGER event_never_changes BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
  CREATE TRIGGER event_never_goes BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** Opens the run history of a home; makes it, and the home, where there is none. */
export async function openRunHistory(home: string): Promise<RunHistory> {
  await prepareHome(home);
  const { history: path, locks } = homePaths(home);
  const runLocks = join(locks, 'runs');
  await makePrivateFolder(runLocks);
  const database = explainSqlite(path, () => new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS }));
  try {
    // Two processes that both make the database or turn on write-ahead logging would find it busy.
    using _lock = await waitForLock(join(locks, 'history'), path);
    explainSqlite(path, () => prepareDatabase(database, path));
  } catch (error) {
    database.close();
    throw error;
  }
  return historyOf(database, path, runLocks);
}

function prepareDatabase(database: DatabaseSync, path: string): void {
  const version = Number(database.prepare('PRAGMA user_version').get()?.user_version);
  if (version > SCHEMA_VERSION) {
    fail(
      path,
      `a newer fedrad wrote it (schema ${version}; this fedrad knows schemas up to ${SCHEMA_VERSION})`,
      'update fedrad, or choose another home with --home',
    );
  }
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
  if (version === 0) database.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT;`);
}

function historyOf(database: DatabaseSync, path: string, lockFolder: string): RunHistory {
  const explained = <T>(action: () => T): T => explainSqlite(path, action);
  const statements = explained(() => ({
    create: database.prepare('INSERT INTO event (run, seq, type, body) VALUES (?, 1, ?, ?) ON CONFLICT DO NOTHING'),
    append: database.prepare(
      `INSERT INTO event (run, seq, type, body)
       SELECT run, max(seq) + 1, ?2, ?3 FROM event WHERE run = ?1 GROUP BY run RETURNING seq`,
    ),
    events: database.prepare('SELECT seq, body FROM event WHERE run = ? AND seq > ? ORDER BY seq'),
    exists: database.prepare('SELECT 1 FROM event WHERE run = ? AND seq = 1'),
    runs: database.prepare('SELECT run FROM event WHERE seq = 1 ORDER BY id'),
    // The steps only of runs that go on: what they wait for, or go on without, is part of their status.
    list: database.prepare(
      `SELECT run, seq, body FROM event
       WHERE type IN ('submitted', 'started', 'cancel-requested', 'finished')
         OR type IN ('step-started', 'step-waiting', 'step-failed', 'step-finished') AND run IN (
           SELECT run FROM event WHERE type IN ('started', 'finished') GROUP BY run
           HAVING max(CASE type WHEN 'started' THEN id END) > coalesce(max(CASE type WHEN 'finished' THEN id END), 0))
       ORDER BY id`,
    ),
  }));

  const unknown = (runId: string): never => {
    const known = explained(() => statements.runs.all()).map(({ run }) => String(run));
    return fail(path, `no run "${runId}"${didYouMean(runId, known)}`, 'fedrad run list');
  };
  const lockPath = (runId: string): string => {
    if (!explained(() => statements.exists.get(checkRunId(runId)))) unknown(runId);
    return join(lockFolder, runId);
  };

  return {
    create: ({ id, ...run }) => {
      const event = checkEvent({ type: 'submitted', ...run }, `run ${checkRunId(id)}`);
      const { changes } = explained(() => statements.create.run(id, event.type, JSON.stringify(event)));
      if (Number(changes) === 0) fail(path, `run "${id}" exists`, 'submit again: every run gets a new name');
    },
    append: (runId, event) => {
      const { type } = checkEvent(event, `run ${runId}`);
      const row = explained(() => statements.append.get(runId, type, JSON.stringify(event)));
      return row ? Number(row.seq) : unknown(runId);
    },
    events: (runId, afterSeq = 0) => {
      const rows = explained(() => statements.events.all(runId, afterSeq));
      if (rows.length === 0 && !explained(() => statements.exists.get(runId))) unknown(runId);
      return rows.map((row) => readEvent(row, path));
    },
    list: () => {
      const rows = Map.groupBy(
        explained(() => statements.list.all()),
        ({ run }) => String(run),
      );
      return [...rows].map(([id, ofRun]) => {
        const { steps: _steps, ...summary } = foldRun(ofRun.map((row) => readEvent(row, path)));
        return { id, ...summary };
      });
    },
    lock: (runId) => explained(() => tryLock(lockPath(runId), LOCK_PATIENCE_MS)),
    isLocked: (runId) => explained(() => isHeld(lockPath(runId))),
    close: () => {
      if (database.isOpen) database.close();
    },
    [Symbol.dispose]() {
      this.close();
    },
  };
}

function checkEvent(event: unknown, where: string): RunEvent {
  const checked = runEventSchema.safeParse(event);
  return checked.success ? checked.data : fail(where, `not an event: ${firstIssue(checked.error)}`);
}

function readEvent(row: Record<string, unknown>, path: string): RecordedEvent {
  const damaged = (detail: string, cause?: unknown): never =>
    fail(path, `it is damaged: event ${row.seq}: ${detail}`, 'restore it from a backup', cause);
  let body: unknown;
  try {
    body = JSON.parse(String(row.body));
  } catch (error) {
    return damaged('not JSON', error);
  }
  const checked = runEventSchema.safeParse(body);
  return checked.success ? { ...checked.data, seq: Number(row.seq) } : damaged(firstIssue(checked.error));
}
