/** @file The process of the proxies. It ends when its standard input does, so it never outlives the test. */
import { createInterface } from 'node:readline';
import { type Proxies, proxiesSchema, type Reply, type Request, requestSchema } from './proxy-protocol.ts';
import { openTcpProxy, type TcpProxy } from './tcp-proxy.ts';

const say = (reply: Reply): void => console.log(JSON.stringify(reply));

async function open(proxies: Proxies): Promise<ReadonlyMap<string, TcpProxy>> {
  const opened = new Map<string, TcpProxy>();
  for (const [name, { listen, target }] of Object.entries(proxies))
    opened.set(name, await openTcpProxy(listen, target));
  return opened;
}

async function serve(request: Request, proxy: TcpProxy): Promise<Reply> {
  const { id } = request;
  switch (request.do) {
    case 'set':
      await proxy.set(request.state);
      return { id, count: 1 };
    case 'facts':
      return { id, ...(await proxy.facts()) };
    default:
      return { id, count: await proxy[request.do]() };
  }
}

const proxies = await open(proxiesSchema.parse(JSON.parse(process.argv[2] ?? '')));
say({ id: 0, count: proxies.size });
for await (const line of createInterface({ input: process.stdin })) {
  const request = requestSchema.parse(JSON.parse(line));
  const proxy = proxies.get(request.link);
  if (!proxy) throw new Error(`no link "${request.link}"`);
  say(await serve(request, proxy));
}
process.exit(0);
