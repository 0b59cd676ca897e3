/**
 * @file Who is not signed in to Azure: at a terminal the browser signs them in, anywhere else it is one line. The browser here is a
 * program that does what the page tells it; nothing of it was seen with Microsoft Entra.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Cli, openCli, program } from '../cli.ts';
import { toolWorks } from '../hospitals/tool.ts';
import { startStandIn } from './stand-in.ts';

/** fedrad where nobody is signed in, and a browser that writes down where it was sent. */
async function openNobody(context: TestContext): Promise<{ cli: Cli; environment: Record<string, string> }> {
  const standIn = await startStandIn(context);
  const environment = {
    ...standIn.environment,
    AZURE_CLIENT_ID: '',
    AZURE_CLIENT_SECRET: '',
    // Without the machine's own identity, which is looked for in the network.
    AZURE_TOKEN_CREDENTIALS: 'dev',
  };
  return { cli: await openCli(context, environment), environment };
}

test('without a terminal it is one line that says az login', async (context) => {
  const { cli } = await openNobody(context);
  assert.match(
    await cli.fails('account', 'show', '--target', 'azure'),
    /the sign-in to Azure is missing or has expired \(az login/,
  );
});

test('at a terminal a browser signs in', { skip: !toolWorks('script', '--version') }, async (context) => {
  const { cli, environment } = await openNobody(context);
  // Goes to the page, and posts its form to the address that it names.
  // xdg-open cuts $BROWSER at spaces.
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-browser-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const browser = join(folder, 'browser');
  await writeFile(
    browser,
    `#!${process.execPath}
const { action, fields } = await (await fetch(process.argv[2])).json();
await fetch(action, { method: 'POST', body: new URLSearchParams(fields) });
`,
    { mode: 0o700 },
  );
  const show = `'${process.execPath}' '${program}' account show --target azure`;
  // Its standard input stays open: `script` waits for ever on one that has ended.
  const child = spawn('script', ['--quiet', '--return', '--command', show, '/dev/null'], {
    env: { ...process.env, ...environment, FEDRAD_HOME: cli.home, BROWSER: browser },
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: 40_000,
  });
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += chunk;
  });
  const [code] = await once(child, 'close');
  assert.equal(code, 0, said);
  assert.match(said, /Nobody is signed in to Azure \(az login\)\. A browser opens/);
  assert.match(said, /"id": "22222222-2222-2222-2222-222222222222"/);
});
