/** @file `fedrad orchestrator init`: keys, certificates and nats-server's configuration for a workspace across hospitals. */
import { spawnSync } from 'node:child_process';
import type { Command } from 'commander';
import { type FederationOptions, makeFederation } from '../messaging/index.ts';
import { homeOf, printJson } from './context.ts';
import { integerOption, type NamedWorkspace, workspaceName, workspaceOptions } from './options.ts';

interface InitOptions extends NamedWorkspace {
  readonly url: string;
  readonly websocketUrl?: string;
  readonly orchestratorUrl?: string;
  readonly natsHost?: string;
  readonly natsPort?: number;
  readonly natsWebsocketPort?: number;
  readonly natsMonitorPort?: number;
  readonly natsStoreDir?: string;
  readonly natsStoreGb?: number;
  readonly san?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string;
  readonly json?: boolean;
}

const port = integerOption(1, 65_535);

export function addOrchestratorInit(group: Command): void {
  workspaceOptions(group.command('init'))
    .description('make the keys, certificates and nats-server.conf of a federation; a second time changes nothing')
    .requiredOption('--url <url>', 'what hospitals dial: tls://host:4222')
    .option('--websocket-url <url>', 'what hospitals behind an HTTP proxy dial: wss://host:8443 (default: none)')
    .option('--orchestrator-url <url>', 'what the orchestrator itself dials (default: --url)')
    .option('--nats-host <address>', 'address that nats-server listens on (default: 0.0.0.0)')
    .option('--nats-port <port>', 'its port (default: that of --url)', port)
    .option('--nats-websocket-port <port>', 'its port for WebSockets (default: that of --websocket-url)', port)
    .option('--nats-monitor-port <port>', 'its monitoring, on 127.0.0.1 alone (default: none)', port)
    .option('--nats-store-dir <folder>', "where it keeps messages and models (default: in the federation's folder)")
    .option(
      '--nats-store-gb <n>',
      'how much it may keep (default: 80 % of what is free, at most 64)',
      integerOption(2, 100_000),
    )
    .option('--san <name...>', 'further names and addresses in its certificate')
    .option('--cert <file>', 'a certificate of your own in PEM (default: one from an authority made here)')
    .option('--key <file>', 'its private key')
    .option('--ca <file>', 'the authority that hospitals have to trust (default: those of their systems)')
    .option('--json', 'print as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  fedrad orchestrator init --url tls://hub.example.org:4222 --websocket_url wss://hub.example.org:8443',
    )
    .action(async (options: InitOptions, command: Command) => {
      const made = await makeFederation(homeOf(command), workspaceName(options), federationOptions(options));
      if (options.json) return printJson(made);
      const name = `--workspace_name ${made.workspaceName}`;
      console.log(
        `${made.created ? 'Made' : 'Found'} the federation of workspace ${made.workspaceName} in ${made.folder}${made.created ? '' : '; nothing changed'}.
Hospitals dial ${made.url}${made.websocketUrl === undefined ? '' : ` or ${made.websocketUrl}`}.

Next: nats-server -c '${made.serverConfigFile}'
      fedrad orchestrator start ${name}
      fedrad silo invite silo0 ${name}`,
      );
    });
}

function federationOptions(options: InitOptions): FederationOptions {
  const { url, websocketUrl, orchestratorUrl, natsHost, natsPort, natsWebsocketPort, natsMonitorPort } = options;
  const { natsStoreDir, natsStoreGb, san, cert, key, ca } = options;
  return {
    ...{ url, canSync: canSync() },
    ...(websocketUrl === undefined ? {} : { websocketUrl }),
    ...(orchestratorUrl === undefined ? {} : { ownUrl: orchestratorUrl }),
    ...(natsHost === undefined ? {} : { host: natsHost }),
    ...(natsPort === undefined ? {} : { port: natsPort }),
    ...(natsWebsocketPort === undefined ? {} : { websocketPort: natsWebsocketPort }),
    ...(natsMonitorPort === undefined ? {} : { monitorPort: natsMonitorPort }),
    ...(natsStoreDir === undefined ? {} : { storeFolder: natsStoreDir }),
    ...(natsStoreGb === undefined ? {} : { maxStoreBytes: natsStoreGb * 1e9 }),
    ...(san === undefined ? {} : { san }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(ca === undefined ? {} : { ca }),
  };
}

/** Whether the nats-server here is 2.10 or newer; an older one refuses a configuration with its newer settings. */
function canSync(): boolean {
  const { stdout } = spawnSync('nats-server', ['--version'], { encoding: 'utf8' });
  const [, major, minor] = /v(\d+)\.(\d+)/.exec(stdout ?? '') ?? [];
  return Number(major) > 2 || (Number(major) === 2 && Number(minor) >= 10);
}
