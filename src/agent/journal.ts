/**
 * @file The agent's memory: which work it has begun and how it ended, in SQLite (`synchronous=FULL`: what was written survives a power
 * cut). Work that ended is never run again; work that only began runs again from the start, to the same bits.
 */
import { DatabaseSync } from 'node:sqlite';
import { fail } from '../base/index.ts';
import { type End, endSchema } from '../messaging/index.ts';
import { explainSqlite } from '../workspace/index.ts';

/** The same work has the same three, however often it is sent. */
export interface WorkKey {
  readonly run: string;
  readonly step: string;
  readonly attempt: number;
}

export interface EndedWork {
  readonly end: End;
  /** The orchestrator has stored the end, and knows that the work is done. */
  readonly confirmed: boolean;
}

export interface Journal extends Disposable {
  /** Notes that work was taken on; `ack` is where its delivery is answered. */
  begun(key: WorkKey, ack: string, at: Date): void;
  /** Notes how it ended. From here on it does not run again. */
  ended(end: End, at: Date): void;
  /** The end has arrived and the delivery is answered. */
  confirmed(key: WorkKey): void;
  /** Whether it was begun: it may have left something. */
  hasBegun(key: WorkKey): boolean;
  end(key: WorkKey): EndedWork | undefined;
  /** Where deliveries are answered that an earlier process left unanswered. */
  unanswered(): readonly string[];
  /** Work that ended, newest first, at most 100. */
  recent(): readonly (WorkKey & { readonly kind: End['end']['kind']; readonly at: string })[];
  /** Runs that it has entries of, with the time of their last one (ISO 8601). */
  runs(): readonly { readonly run: string; readonly at: string }[];
  /** Removes what belongs to one attempt: its outputs are gone and it must run again. */
  forgetWork(key: WorkKey): void;
  /** Removes everything of a run. */
  forgetRun(run: string): void;
  close(): void;
}

const SCHEMA_VERSION = 1;
const BUSY_TIMEOUT_MS = 10_000;
const SCHEMA = `
  CREATE TABLE work (
    run TEXT NOT NULL,
    step TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    ack TEXT NOT NULL,
    at TEXT NOT NULL,
    kind TEXT,
    body TEXT,
    confirmed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, step, attempt)
  ) STRICT;
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** Opens the journal at `path`, made where it is missing. Only one process writes it; others may read it meanwhile. */
export function openJournal(path: string): Journal {
  const database = explainSqlite(path, () => new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS }));
  try {
    explainSqlite(path, () => prepare(database, path));
  } catch (error) {
    database.close();
    throw error;
  }
  return journalOf(database, path);
}

function prepare(database: DatabaseSync, path: string): void {
  const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
  if (version > SCHEMA_VERSION) {
    fail(path, `a newer fedrad wrote it (schema ${version})`, 'update fedrad; nothing of it is lost');
  }
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
  if (version === 0) database.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT;`);
}

function journalOf(database: DatabaseSync, path: string): Journal {
  const explained = <T>(action: () => T): T => explainSqlite(path, action);
  const statement = explained(() => ({
    begun: database.prepare(
      `INSERT INTO work (run, step, attempt, ack, at) VALUES (?1, ?2, ?3, ?4, ?5)
       ON CONFLICT DO UPDATE SET ack = ?4, confirmed = 0`,
    ),
    ended: database.prepare(
      `INSERT INTO work (run, step, attempt, ack, at, kind, body) VALUES (?1, ?2, ?3, '', ?4, ?5, ?6)
       ON CONFLICT DO UPDATE SET at = ?4, kind = ?5, body = ?6`,
    ),
    confirmed: database.prepare('UPDATE work SET confirmed = 1 WHERE run = ? AND step = ? AND attempt = ?'),
    end: database.prepare(
      'SELECT body, confirmed FROM work WHERE run = ? AND step = ? AND attempt = ? AND body IS NOT NULL',
    ),
    hasBegun: database.prepare('SELECT 1 FROM work WHERE run = ? AND step = ? AND attempt = ?'),
    unanswered: database.prepare("SELECT ack FROM work WHERE confirmed = 0 AND ack <> ''"),
    recent: database.prepare(
      'SELECT run, step, attempt, kind, at FROM work WHERE kind IS NOT NULL ORDER BY at DESC LIMIT 100',
    ),
    runs: database.prepare('SELECT run, max(at) AS at FROM work GROUP BY run ORDER BY at'),
    forgetWork: database.prepare('DELETE FROM work WHERE run = ? AND step = ? AND attempt = ?'),
    forgetRun: database.prepare('DELETE FROM work WHERE run = ?'),
  }));
  return {
    begun: ({ run, step, attempt }, ack, at) =>
      void explained(() => statement.begun.run(run, step, attempt, ack, at.toISOString())),
    ended: (end, at) =>
      void explained(() =>
        statement.ended.run(end.run, end.step, end.attempt, at.toISOString(), end.end.kind, JSON.stringify(end)),
      ),
    confirmed: ({ run, step, attempt }) => void explained(() => statement.confirmed.run(run, step, attempt)),
    end: ({ run, step, attempt }) => {
      const row = explained(() => statement.end.get(run, step, attempt));
      if (!row) return undefined;
      return { end: readEnd(String(row['body']), path), confirmed: row['confirmed'] === 1 };
    },
    hasBegun: ({ run, step, attempt }) => explained(() => statement.hasBegun.get(run, step, attempt)) !== undefined,
    unanswered: () => explained(() => statement.unanswered.all()).map(({ ack }) => String(ack)),
    recent: () =>
      explained(() => statement.recent.all()).map((row) => ({
        run: String(row['run']),
        step: String(row['step']),
        attempt: Number(row['attempt']),
        kind: String(row['kind']) as End['end']['kind'],
        at: String(row['at']),
      })),
    runs: () => explained(() => statement.runs.all()).map(({ run, at }) => ({ run: String(run), at: String(at) })),
    forgetWork: ({ run, step, attempt }) => void explained(() => statement.forgetWork.run(run, step, attempt)),
    forgetRun: (run) => void explained(() => statement.forgetRun.run(run)),
    close: () => {
      if (database.isOpen) database.close();
    },
    [Symbol.dispose]() {
      this.close();
    },
  };
}

function readEnd(body: string, path: string): End {
  const damaged = (cause: unknown): never =>
    fail(path, 'it is damaged: an end in it is not one', 'move it away; steps whose ends it held run again', cause);
  try {
    const checked = endSchema.safeParse(JSON.parse(body));
    return checked.success ? checked.data : damaged(checked.error);
  } catch (error) {
    return damaged(error);
  }
}
