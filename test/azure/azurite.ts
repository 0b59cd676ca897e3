/** @file Azurite, Microsoft's emulator of Azure Storage, for one test: its blobs over HTTPS, in memory, with an account for each name. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cleanup } from '../hospitals/tool.ts';

const program = join(import.meta.dirname, '..', 'azurite', 'node_modules', 'azurite', 'dist', 'src', 'blob', 'main.js');

/** Why a test that needs it is skipped; undefined where it is there. */
export const withoutAzurite = existsSync(program) ? undefined : 'no Azurite here (npm ci --prefix test/azurite)';

export interface Azurite {
  readonly blobUrl: (account: string) => string;
  /** The accounts' keys, base64. */
  readonly keys: ReadonlyMap<string, string>;
}

const START_TIMEOUT_MS = 60_000;

export async function startAzurite(
  context: Cleanup,
  accounts: readonly string[],
  { cert, key }: { readonly cert: string; readonly key: string },
): Promise<Azurite> {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-azurite-'));
  const keys = new Map(accounts.map((account) => [account, randomBytes(64).toString('base64')]));
  const port = await freePort();
  const child = spawn(
    process.execPath,
    [
      ...[program, '--blobHost', '127.0.0.1', '--blobPort', String(port), '--location', folder],
      ...['--cert', cert, '--key', key, '--oauth', 'basic', '--disableTelemetry', '--skipApiVersionCheck'],
    ],
    { env: { ...process.env, AZURITE_ACCOUNTS: [...keys].map((pair) => pair.join(':')).join(';') }, stdio: 'pipe' },
  );
  const ended = new Promise((resolve) => child.once('close', resolve));
  context.after(async () => {
    child.kill('SIGKILL');
    await ended;
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  await new Promise<void>((resolve, reject) => {
    let said = '';
    const timer = setTimeout(() => reject(new Error(`Azurite did not start: ${said}`)), START_TIMEOUT_MS);
    const hear = (chunk: Buffer): void => {
      said += chunk;
      if (!/successfully listens/.test(said)) return;
      clearTimeout(timer);
      resolve();
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.once('close', () => reject(new Error(`Azurite ended: ${said}`)));
  });
  return { blobUrl: (account) => `https://127.0.0.1:${port}/${account}`, keys };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
