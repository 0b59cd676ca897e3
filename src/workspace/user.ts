/** @file Who is signed in: the local sandbox has one user per home, known by an object id as in a directory service. */
import { randomUUID } from 'node:crypto';
import { access } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { codeOf, writeFileAtomic } from './disk.ts';
import { waitForLock } from './file-lock.ts';
import { homePaths, prepareHome } from './home.ts';
import { readStoredJson, toStoredJson } from './stored-json.ts';

const userSchema = z.strictObject({ id: z.uuid(), displayName: z.string().min(1) });

export type User = Readonly<z.infer<typeof userSchema>>;

/** The user of this home. The id is made once and kept in the home; makes the home where there is none. */
export async function signedInUser(home: string): Promise<User> {
  await prepareHome(home);
  const { user: path, locks } = homePaths(home);
  if (!(await exists(path))) {
    using _lock = await waitForLock(join(locks, 'user'), path);
    if (!(await exists(path))) {
      await writeFileAtomic(path, toStoredJson({ id: randomUUID(), displayName: loginName() } satisfies User));
    }
  }
  return readStoredJson(path, userSchema);
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    (error: unknown) => {
      if (codeOf(error) === 'ENOENT') return false;
      throw error;
    },
  );

/** The login name; a container's user id may have none. */
function loginName(): string {
  try {
    return userInfo().username || 'fedrad user';
  } catch {
    return 'fedrad user';
  }
}
