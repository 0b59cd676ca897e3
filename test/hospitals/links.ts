/** @file The links between hosts and the server: one proxy for each, in a process on the network's router. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Host } from './network.ts';
import { type Proxies, type Reply, type Request, replySchema } from './proxy-protocol.ts';
import type { Link } from './tcp-proxy.ts';
import type { Cleanup } from './tool.ts';

const program = join(import.meta.dirname, 'proxy-main.ts');
const TIMEOUT_MS = 20_000;

type Without<T, Key extends string> = T extends unknown ? Omit<T, Key> : never;

/** Opens the proxies and gives their links by name. They end with the test. */
export async function openLinks(t: Cleanup, router: Host, proxies: Proxies): Promise<ReadonlyMap<string, Link>> {
  const [file, args] = router.command(process.execPath, [program, JSON.stringify(proxies)]);
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (chunk) => {
    complaint += chunk;
  });
  const waiting = new Map<number, { resolve: (reply: Reply) => void; reject: (error: Error) => void }>();
  const ended = new Promise<void>((resolve) => {
    child.once('close', (code, signal) => {
      for (const { reject } of waiting.values())
        reject(new Error(`the proxies ended (${code ?? signal}): ${complaint}`));
      waiting.clear();
      resolve();
    });
  });
  child.stdin.on('error', () => {});
  createInterface({ input: child.stdout }).on('line', (line) => {
    const reply = replySchema.parse(JSON.parse(line));
    waiting.get(reply.id)?.resolve(reply);
    waiting.delete(reply.id);
  });
  t.after(async () => {
    child.stdin.end();
    await ended;
  });
  let last = 0;
  const expect = (id: number): Promise<Reply> =>
    new Promise((resolve, reject) => {
      if (child.exitCode !== null) return reject(new Error(`the proxies ended (${child.exitCode}): ${complaint}`));
      const timer = setTimeout(() => reject(new Error(`the proxies say nothing: ${complaint}`)), TIMEOUT_MS);
      const settled =
        <T>(settle: (value: T) => void) =>
        (value: T) => {
          clearTimeout(timer);
          settle(value);
        };
      waiting.set(id, { resolve: settled(resolve), reject: settled(reject) });
    });
  const ask = (request: Without<Request, 'id'>): Promise<Reply> => {
    const id = ++last;
    const reply = expect(id);
    child.stdin.write(`${JSON.stringify({ id, ...request })}\n`);
    return reply;
  };
  await expect(0);
  const count = async (request: Without<Request, 'id'>): Promise<number> => {
    const reply = await ask(request);
    return 'count' in reply ? reply.count : 0;
  };
  const linkOf = (link: string): Link => ({
    set: async (state) => void (await ask({ link, do: 'set', state: { ...state } })),
    reset: () => count({ link, do: 'reset' }),
    forget: () => count({ link, do: 'forget' }),
    facts: async () => {
      const reply = await ask({ link, do: 'facts' });
      return 'bytes' in reply ? { connections: reply.connections, bytes: reply.bytes } : { connections: 0, bytes: 0 };
    },
  });
  return new Map(Object.keys(proxies).map((name) => [name, linkOf(name)]));
}
