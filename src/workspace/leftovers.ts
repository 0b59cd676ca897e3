/**
 * @file Leftovers of killed processes in a datastore: unfinished outputs that nobody will finish are removed, and what
 * a killed replacement moved aside comes back.
 */
import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, UNFINISHED } from './disk.ts';
import { waitForLock } from './file-lock.ts';
import { replacedName, settleReplaced } from './into-place.ts';

/** Younger ones may be the work of another process. */
const LEFTOVER_AGE_MS = 24 * 60 * 60 * 1000;
/** Outputs under way, and what was fetched of an object. */
const UNFINISHED_WORK = /^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|fetch-[0-9a-f]{64})$/;

/** Sweeps a datastore's folder and all below it. What this user may not read or change stays. */
export async function sweepLeftovers(root: string, lockPath: string, nowMs: number): Promise<void> {
  const visit = async (folder: string): Promise<void> => {
    const entries = await readdir(folder, { withFileTypes: true }).catch(unlessRefused);
    for (const entry of entries ?? []) {
      const path = join(folder, entry.name);
      if (!entry.name.startsWith(UNFINISHED)) {
        if (entry.isDirectory()) await visit(path);
        continue;
      }
      const replaced = replacedName(entry.name);
      if (replaced !== undefined) {
        using _lock = await waitForLock(lockPath, path);
        await settleReplaced(join(folder, replaced)).catch(unlessRefused);
      } else if (UNFINISHED_WORK.test(entry.name.slice(UNFINISHED.length))) {
        const status = await lstat(path).catch(unlessRefused);
        if (status && nowMs - status.mtimeMs > LEFTOVER_AGE_MS) {
          await rm(path, { recursive: true, force: true }).catch(unlessRefused);
        }
      }
    }
  };
  await visit(root);
}

/** Another process may have swept first, and a disk may be read-only: neither may stop a run. */
function unlessRefused(error: unknown): undefined {
  if (!['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'EROFS'].includes(codeOf(error) ?? '')) throw error;
}
