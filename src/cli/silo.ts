/** @file `fedrad silo`: at the orchestrator invite, list, revoke, resume; at the hospital join. */
import { text } from 'node:stream/consumers';
import type { Command } from 'commander';
import { lastHeartbeats } from '../across/index.ts';
import { fail, messageOf } from '../base/index.ts';
import { type Federation, joinFederation, openFederation } from '../messaging/index.ts';
import { openWorkspace } from '../workspace/index.ts';
import { homeOf, printJson, printRows } from './context.ts';
import { integerOption, type NamedWorkspace, workspaceName, workspaceOptions } from './options.ts';

interface Options extends NamedWorkspace {
  readonly json?: boolean;
}

interface ListedSilo {
  readonly compute: string;
  readonly state: string;
  readonly fingerprint?: string;
  readonly joinedAt?: string;
  /** Of the last heartbeat, ISO 8601; absent before the first. */
  readonly lastHeard?: string;
  readonly agent?: string;
  readonly reason?: string;
}

/** How long `list` waits for nats-server; without it the list has no heartbeats. */
const LIST_WAIT_MS = 3000;

export function addSiloCommands(root: Command): void {
  const group = root
    .command('silo')
    .description('hospitals of a federation: invite, join, list, revoke, resume')
    .addHelpText('after', '\nExample:\n  fedrad silo invite silo1\n  fedrad silo list');
  const siloCommand = (usage: string, description: string, example: string): Command =>
    workspaceOptions(group.command(usage))
      .description(description)
      .option('--json', 'print as JSON')
      .addHelpText('after', `\nExample:\n  ${example}`);
  siloCommand('invite <silo>', 'print the one line with which a hospital joins', 'fedrad silo invite silo1 --hours 24')
    .option('--hours <n>', 'how long it is good for', integerOption(1, 8760), 48)
    .action(async (silo: string, options: Options & { hours: number }, command: Command) => {
      const { federation, compute } = await opened(command, options, silo);
      const { line, expiresAt } = await federation.invite(compute, options);
      if (options.json) return printJson({ compute, line, expiresAt });
      // Standard output is the line and nothing else.
      console.log(`fedrad silo join ${line}`);
      console.error(
        `For ${compute}, once, until ${expiresAt.toISOString()}. Send it as you would a password; then compare fingerprints on the phone: fedrad silo list`,
      );
    });
  siloCommand('list', 'hospitals, their state and fingerprints', 'fedrad silo list').action(
    async (options: Options, command: Command) => {
      const { federation, computes } = await opened(command, options);
      const silos = new Map((await federation.silos()).map((silo) => [silo.compute, silo]));
      const beats = await heartbeats(federation, computes);
      const rows = computes.map((compute) => {
        const { signingKey: _, ...silo } = silos.get(compute) ?? { compute, state: 'not invited' };
        const heard = beats.get(compute);
        return { ...silo, ...(heard ? { lastHeard: heard.at, agent: heard.state } : {}) } as ListedSilo;
      });
      printRows(
        rows,
        {
          COMPUTE: ({ compute }) => compute,
          STATE: ({ state }) => state,
          FINGERPRINT: ({ fingerprint }) => fingerprint ?? '',
          JOINED: ({ joinedAt }) => joinedAt ?? '',
          'LAST HEARD': ({ lastHeard }) => lastHeard ?? '',
          AGENT: ({ agent, state }) => (state === 'revoked' ? '' : (agent ?? '')),
          REASON: ({ reason }) => reason ?? '',
        },
        options.json,
        'no hospitals',
      );
    },
  );
  siloCommand('revoke <silo>', 'cut a hospital off, now and for ever', 'fedrad silo revoke silo1 --reason "left"')
    .option('--reason <text>', 'why; shown by list', 'revoked by the orchestrator')
    .action(async (silo: string, options: Options & { reason: string }, command: Command) => {
      const { federation, compute } = await opened(command, options, silo);
      const { cut, problem } = await federation.revoke(compute, options.reason);
      if (!cut) {
        fail(
          `compute "${compute}"`,
          `it is revoked, but nats-server does not know yet: ${problem}`,
          `when it is reachable: fedrad silo revoke ${compute}`,
        );
      }
      if (options.json) printJson({ compute, state: 'revoked' });
      else console.log(`${compute} is revoked and cut off.`);
    });
  siloCommand('resume <silo>', 'give a suspended hospital work again', 'fedrad silo resume silo1').action(
    async (silo: string, options: Options, command: Command) => {
      const { federation, compute } = await opened(command, options, silo);
      await federation.resume(compute);
      if (options.json) printJson({ compute, state: 'joined' });
      else console.log(`${compute} gets work again.`);
    },
  );
  addJoin(group);
}

function addJoin(group: Command): void {
  group
    .command('join <invitation>')
    .description('at the hospital: join with the line that the orchestrator sent (- reads it from standard input)')
    .option('--proxy <url>', 'HTTP proxy for the WebSocket, http://proxy:3128 (default: HTTPS_PROXY, NO_PROXY)')
    .option('--wait <seconds>', 'how long to wait for the orchestrator', integerOption(1, 3600), 60)
    .option('--json', 'print as JSON')
    .addHelpText('after', '\nExample:\n  fedrad silo join fedrad-invite:...\n  fedrad silo join - < invitation.txt')
    .action(
      async (
        given: string,
        { proxy, wait, json }: { proxy?: string; wait: number; json?: boolean },
        command: Command,
      ) => {
        const line = given === '-' ? (await text(process.stdin)).replace(/^\s*fedrad silo join\s+/, '') : given;
        const { workspaceName, compute, fingerprint, datastores } = await joinFederation(homeOf(command), line, {
          ...(proxy === undefined ? {} : { proxy }),
          waitMs: wait * 1000,
          onWaiting: (reason) => console.error(`Waiting: ${reason}.`),
        });
        if (json) return printJson({ workspaceName, compute, fingerprint, datastores });
        console.log(`Joined ${workspaceName} as ${compute}.

Fingerprint: ${fingerprint}
Compare it on the phone with what "fedrad silo list" shows at the orchestrator. If it differs, somebody else joined: have it revoked.

Next: fedrad agent`);
      },
    );
}

async function heartbeats(federation: Federation, computes: readonly string[]) {
  try {
    const nc = await federation.connect('silo list', { waitMs: LIST_WAIT_MS });
    try {
      return await lastHeartbeats(nc, federation, computes);
    } finally {
      await nc.close();
    }
  } catch (error) {
    console.error(`note: no heartbeats: ${messageOf(error)}`);
    return new Map<string, never>();
  }
}

/** The federation, the computes of its hospitals, and the one that `silo` names, by its own name or without its number. */
async function opened(
  command: Command,
  options: Options,
  silo?: string,
): Promise<{ federation: Federation; computes: readonly string[]; compute: string }> {
  const home = homeOf(command);
  const workspace = await openWorkspace(home, workspaceName(options));
  const computes = [...workspace.computes.values()].filter(({ role }) => role === 'silo').map(({ name }) => name);
  const federation = await openFederation(home, workspace.description.workspaceName);
  const compute =
    silo === undefined ? '' : computes.find((name) => name === silo || name.replace(/-\d+$/, '') === silo);
  if (compute !== undefined) return { federation, computes, compute };
  return fail(`silo "${silo}"`, `expected one of ${computes.join(', ')}`, 'fedrad workspace show');
}
