/**
 * @file What deploy/ says is held to what it refers to: volumes, ports, paths, commands and options of fedrad, figures, sections of RUNBOOK.md.
 * It builds no image and starts no cluster; deploy/README.md says what that leaves open.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import type { Command } from 'commander';
import { parseAllDocuments } from 'yaml';
import { program } from '../src/cli/program.ts';

const root = join(import.meta.dirname, '..');
const deploy = join(root, 'deploy');
const read = (path: string): string => readFileSync(join(deploy, path), 'utf8');
const fedrad = await program();

// biome-ignore lint/suspicious/noExplicitAny: manifests have as many shapes as kinds; every test says what it looks for.
type Manifest = any;

function documents(path: string): Manifest[] {
  return parseAllDocuments(read(path)).map((document) => {
    assert.deepEqual(document.errors, [], path);
    return document.toJS();
  });
}
const compose = (side: string): Manifest => documents(`compose/${side}.yaml`)[0];
const manifests = (side: string): Manifest[] =>
  [...documents(`kubernetes/${side}/kustomization.yaml`)[0].resources, 'setup.yaml'].flatMap((file: string) =>
    documents(`kubernetes/${side}/${file}`),
  );
const SIDES = ['orchestrator', 'agent'];
const podOf = ({ kind, spec }: Manifest): Manifest => (kind === 'Pod' ? spec : spec?.template?.spec);

/** Command lines of fedrad, without the program: all that deploy/ starts. */
function commandLines(): [where: string, words: string[]][] {
  const found: [string, string[]][] = [];
  const add = (where: string, words: string[]): void => void found.push([where, words]);
  for (const [, words] of read('Dockerfile').matchAll(/^CMD (\[.*\])$/gm)) add('Dockerfile', JSON.parse(words!));
  for (const side of SIDES) {
    const { command, pre_stop: hooks = [] } = compose(side).services[side];
    add(`compose/${side}`, command);
    for (const hook of hooks) add(`compose/${side} pre_stop`, hook.command.slice(1));
    for (const manifest of manifests(side)) {
      for (const container of podOf(manifest)?.containers ?? []) {
        if (container.image === `fedrad-${side}`) add(`kubernetes/${side}`, container.args);
        const stop = container.lifecycle?.preStop?.exec.command;
        if (stop) add(`kubernetes/${side} preStop`, stop.slice(1));
      }
    }
  }
  const options = /^FEDRAD_AGENT_OPTIONS="(.*)"$/m.exec(read('systemd/fedrad-agent.env'))![1]!;
  for (const unit of globSync('systemd/*.service', { cwd: deploy })) {
    for (const [, line] of read(unit).matchAll(/^Exec\w+=-?\S+\/fedrad (.*)$/gm)) {
      add(unit, line!.replace('$FEDRAD_AGENT_OPTIONS', options).split(' '));
    }
  }
  return found;
}

/** What fedrad does not have of a command line: the command, or options of it. */
function unknownIn(where: string, words: readonly string[]): string[] {
  const at = words.findIndex((word) => word.startsWith('-'));
  const names = words.slice(0, at < 0 ? undefined : at);
  let command: Command | undefined = fedrad;
  for (const name of names) command = command?.commands.find((each) => each.name() === name);
  if (!command) return [`${where}: fedrad ${names.join(' ')}`];
  const known = [...command.options.map(({ long }) => long), '--help'];
  return words
    .filter((word) => word.startsWith('--') && !known.includes(word.replaceAll('_', '-')))
    .map((option) => `${where}: fedrad ${names.join(' ')} ${option}`);
}

test('every YAML file is YAML, and no kustomization forgets one', () => {
  for (const path of globSync('**/*.yaml', { cwd: deploy })) {
    for (const document of documents(path)) assert.equal(typeof document, 'object', path);
  }
  for (const side of SIDES) {
    const listed = documents(`kubernetes/${side}/kustomization.yaml`)[0].resources;
    const files = globSync(`kubernetes/${side}/*.yaml`, { cwd: deploy }).map((path) => basename(path));
    assert.deepEqual(files.sort(), [...listed, 'kustomization.yaml', 'setup.yaml'].sort());
  }
});

test('every command that is started is one of fedrad, with options that it has', () => {
  const lines = commandLines();
  assert.ok(lines.length >= 11, `${lines.length} command lines`);
  assert.deepEqual(
    lines.flatMap(([where, words]) => unknownIn(where, words)),
    [],
  );
});

test('every command that README and RUNBOOK tell an operator to type is one of fedrad', () => {
  const unknown: string[] = [];
  for (const path of ['deploy/README.md', 'RUNBOOK.md']) {
    const text = readFileSync(join(root, path), 'utf8');
    for (const [, line] of text.matchAll(
      /`[^`]*?\bfedrad ((?:agent|silo|orchestrator|run|submit|provision) ?[^`|;#]*)`/g,
    )) {
      const words = line!.split(/\s+/).filter((word) => /^(--)?[a-z][a-z_-]*$/.test(word));
      const command = words.slice(0, words[0] === 'provision' ? 1 : 2).filter((word) => !word.startsWith('-'));
      unknown.push(...unknownIn(path, [...command, ...words.filter((word) => word.startsWith('--'))]));
    }
  }
  assert.deepEqual(unknown, []);
});

test('the ports are the same everywhere', () => {
  for (const [side, port] of [
    ['orchestrator', 9464],
    ['agent', 9465],
  ] as const) {
    assert.deepEqual(compose(side).services[side].ports, [`127.0.0.1:${port}:${port}`]);
    assert.ok(read('Dockerfile').includes(`EXPOSE ${port}`));
    assert.ok(read('Dockerfile').includes(`http://127.0.0.1:${port}/healthz`));
    assert.ok(read(`systemd/fedrad-${side}.service`).includes(`--http 127.0.0.1:${port} `.trim()));
    assert.ok(read('prometheus/prometheus.yaml').includes(`127.0.0.1:${port}`));
    const container = manifests(side)
      .flatMap((each) => podOf(each)?.containers ?? [])
      .find(({ name }) => name === side);
    assert.deepEqual(container.ports, [{ name: 'metrics', containerPort: port }]);
    const http = commandLines().flatMap(([, words]) => words.filter((_, i) => words[i - 1] === '--http'));
    assert.ok(http.every((address) => /^(0\.0\.0\.0:946[45]|127\.0\.0\.1:946[45])$/.test(address)));
  }
  assert.deepEqual(compose('orchestrator').services.nats.ports, ['4222:4222', '8443:8443']);
  const nats = manifests('orchestrator').flatMap((each) => podOf(each)?.containers ?? []);
  assert.deepEqual(
    nats.find(({ name }) => name === 'nats').ports.map((port: Manifest) => port.containerPort),
    [4222, 8443],
  );
});

test('a manifest names only volumes, claims, services, pods and ports that are there', () => {
  for (const side of SIDES) {
    const all = manifests(side);
    const named = (kind: string): string[] =>
      all.filter((each) => each.kind === kind).map((each) => each.metadata.name);
    const labels = all.map(({ spec }) => spec?.template?.metadata.labels ?? {});
    for (const manifest of all) {
      const where = `${side}: ${manifest.kind} ${manifest.metadata.name}`;
      const pod = podOf(manifest);
      if (!pod) continue;
      const claims = (manifest.spec.volumeClaimTemplates ?? []).map((each: Manifest) => each.metadata.name);
      const volumes = [...(pod.volumes ?? []).map((each: Manifest) => each.name), ...claims];
      for (const { persistentVolumeClaim: claim } of pod.volumes ?? []) {
        if (claim) assert.ok(named('PersistentVolumeClaim').includes(claim.claimName), where);
      }
      for (const container of pod.containers) {
        const mounted = container.volumeMounts.map((each: Manifest) => each.name);
        assert.deepEqual([...new Set(mounted)].sort(), volumes.sort(), where);
        const ports = (container.ports ?? []).map((each: Manifest) => each.name);
        for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
          const { httpGet, exec } = container[probe] ?? {};
          if (httpGet) assert.ok(ports.includes(httpGet.port) && /^\/(health|ready)z$/.test(httpGet.path), where);
          assert.ok(httpGet || exec || manifest.kind === 'Pod', `${where}: ${probe}`);
        }
        assert.ok(container.resources.requests.memory && container.resources.limits.memory, where);
        assert.equal(container.securityContext.allowPrivilegeEscalation, false, where);
        assert.deepEqual(container.securityContext.capabilities, { drop: ['ALL'] }, where);
        for (const { configMapRef } of container.envFrom ?? [])
          assert.ok(named('ConfigMap').includes(configMapRef.name));
      }
      assert.equal(pod.securityContext.runAsUser, 10001, where);
      if (manifest.kind === 'StatefulSet') assert.ok(named('Service').includes(manifest.spec.serviceName), where);
      assert.equal(manifest.spec.replicas ?? 1, 1, where);
    }
    for (const { kind, metadata, spec } of all.filter(
      (each) => each.kind === 'Service' || each.kind === 'NetworkPolicy',
    )) {
      const wanted = Object.entries(spec.selector ?? spec.podSelector.matchLabels ?? {});
      assert.ok(
        labels.some((each) => wanted.every(([key, value]) => each[key] === value)),
        `${side}: ${kind} ${metadata.name}`,
      );
    }
    assert.ok(!named('Secret').length, 'secrets are made by the operator');
  }
});

test('a drain has time to end before the agent is killed', () => {
  const seconds = (words: readonly string[]): number => Number(words[words.indexOf('--timeout') + 1]);
  const { pre_stop: hooks, stop_grace_period: grace } = compose('agent').services.agent;
  assert.ok(seconds(hooks[0].command) < Number.parseInt(grace, 10));
  const pod = podOf(manifests('agent').find(({ kind }) => kind === 'Deployment'));
  assert.ok(seconds(pod.containers[0].lifecycle.preStop.exec.command) < pod.terminationGracePeriodSeconds);
  const unit = read('systemd/fedrad-agent.service');
  const drain = Number(/^ExecStop=.* --timeout (\d+)$/m.exec(unit)![1]);
  for (const limit of ['TimeoutStopSec', 'TimeoutStartSec'])
    assert.ok(drain < Number(new RegExp(`^${limit}=(\\d+)s$`, 'm').exec(unit)![1]), limit);
});

test('where steps run, nothing forbids bubblewrap', () => {
  for (const side of SIDES) {
    const unit = read(`systemd/fedrad-${side}.service`);
    // Each of these was seen to break it, or breaks JavaScript.
    for (const directive of [
      ...['ProtectKernelTunables', 'ProtectKernelLogs', 'ProcSubset', 'RestrictNamespaces', 'MemoryDenyWriteExecute'],
    ])
      assert.doesNotMatch(unit, new RegExp(`^${directive}=`, 'm'), `${side}: ${directive}`);
    assert.match(unit, /^SystemCallFilter=.*@mount/m);
    assert.match(unit, /^RestrictAddressFamilies=.*AF_NETLINK/m);
    const needed = ['seccomp=unconfined', 'apparmor=unconfined', 'systempaths=unconfined'];
    const service = compose(side).services[side];
    for (const option of needed) assert.ok(service.security_opt.includes(option), `${side}: ${option}`);
    assert.deepEqual(service.cap_drop, ['ALL']);
    const main = podOf(
      manifests(side).find(({ kind, metadata }) => /Set|Deployment/.test(kind) && metadata.name === side),
    );
    assert.equal(main.hostUsers, false);
    assert.equal(main.containers[0].securityContext.procMount, 'Unmasked');
    assert.equal(main.securityContext.seccompProfile.type, 'Unconfined');
    assert.equal(main.securityContext.appArmorProfile.type, 'Unconfined');
  }
});

test('nats-server sees its own key only', () => {
  const folder = '/var/lib/fedrad/workspaces/aml-fldemo/federation';
  const nats = compose('orchestrator').services.nats;
  const targets = nats.volumes.map(({ target }: Manifest) => target);
  const seen = ['', '/keys', '/keys/server.pem', '/jetstream', '/resolver'].map((path) => folder + path);
  assert.deepEqual(targets, seen);
  assert.equal(nats.volumes[1].type, 'tmpfs');
  const unit = read('systemd/nats-server.conf');
  assert.deepEqual(
    [...unit.matchAll(/^Bind\w+=(.*\/keys.*)$/gm)].map(([, path]) => path),
    [`${folder}/keys/server.pem`],
  );
  const set = manifests('orchestrator').find(
    ({ kind, metadata }) => kind === 'StatefulSet' && metadata.name === 'nats',
  );
  const keys = podOf(set).containers[0].volumeMounts.filter(({ mountPath }: Manifest) => mountPath.includes('/keys'));
  assert.deepEqual(
    keys.map((each: Manifest) => each.mountPath),
    [`${folder}/keys/server.pem`],
  );
});

test('every alarm looks at figures that the code has, and has its section in RUNBOOK.md', () => {
  const code = globSync('src/**/*.ts', { cwd: root })
    .map((path) => readFileSync(join(root, path), 'utf8'))
    .join('\n');
  // Of Prometheus itself, and of prom-client's default metrics.
  const others = /^(up|process_(start_time_seconds|resident_memory_bytes|open_fds|max_fds))$/;
  const sections = [...readFileSync(join(root, 'RUNBOOK.md'), 'utf8').matchAll(/^### (.*)$/gm)].map(
    ([, name]) => name!,
  );
  const rules: Manifest[] = documents('prometheus/alerts.yaml')[0].groups.flatMap((group: Manifest) => group.rules);
  assert.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length);
  for (const { alert, expr, annotations } of rules) {
    assert.equal(annotations.runbook, `RUNBOOK.md#${alert.toLowerCase()}`);
    assert.ok(sections.includes(alert), `RUNBOOK.md has no section ${alert}`);
    const figures = expr.match(/\b(?:up|fedrad_[a-z_]+|process_[a-z_]+)\b/g);
    assert.ok(figures, alert);
    for (const figure of figures)
      assert.ok(others.test(figure) || code.includes(`'${figure}'`), `${alert}: nothing registers ${figure}`);
  }
  for (const name of sections.filter((section) => /^Fedrad[A-Z]/.test(section)))
    assert.ok(
      rules.some(({ alert }) => alert === name),
      `${name}: there is no such alarm`,
    );
});

test('links within RUNBOOK.md lead somewhere', () => {
  const text = readFileSync(join(root, 'RUNBOOK.md'), 'utf8');
  const slugs = [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    title!
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  );
  for (const [, anchor] of text.matchAll(/\]\(#([^)]+)\)/g)) assert.ok(slugs.includes(anchor!), anchor!);
});

test('what the images are built from is in the checkout, and no home is', () => {
  const ignored = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n');
  const kept = ignored.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
  assert.equal(
    ignored.find((line) => line !== '' && !line.startsWith('#')),
    '*',
  );
  for (const path of kept) assert.ok(globSync(path, { cwd: root }).length === 1, path);
  for (const [, sources] of read('Dockerfile').matchAll(/^COPY (?!--from)(.*) \S+$/gm))
    for (const source of sources!.split(' ').filter((each) => each !== '.')) assert.ok(kept.includes(source), source);
});

const has = (name: string): boolean => spawnSync(name, ['--version'], { timeout: 10_000 }).status === 0;

test('systemd-analyze finds nothing wrong with the units', {
  skip: has('systemd-analyze') ? false : 'no systemd-analyze (apt install systemd)',
}, (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'fedrad-units-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  // The programs need not be installed here: something that is stands in for them.
  const copy = (from: string, to: string): void => {
    mkdirSync(dirname(join(folder, to)), { recursive: true });
    const text = read(from).replaceAll(/\/(opt\/fedrad|usr\/sbin)\/\S*(fedrad|nats-server)(?= )/g, '/bin/true');
    writeFileSync(join(folder, to), text);
  };
  for (const side of SIDES) copy(`systemd/fedrad-${side}.service`, `fedrad-${side}.service`);
  copy('systemd/nats-server.conf', 'nats-server.service.d/fedrad.conf');
  writeFileSync(join(folder, 'nats-server.service'), '[Service]\nType=simple\nExecStart=/bin/true\n');
  cpSync(join(deploy, 'systemd', 'fedrad.sysusers.conf'), join(folder, 'sysusers.conf'));
  const units = ['fedrad-orchestrator', 'fedrad-agent', 'nats-server'].map((unit) => join(folder, `${unit}.service`));
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', ...units], {
    encoding: 'utf8',
    env: { ...process.env, SYSTEMD_UNIT_PATH: `${folder}:` },
    timeout: 60_000,
  });
  const ours = stderr.split('\n').filter((line) => line.includes('fedrad') || line.includes('nats-server'));
  assert.deepEqual([status, ours], [0, []], stderr);
});

test('promtool agrees with the alarms and their tests', {
  skip: has('promtool') ? false : 'no promtool (apt install prometheus)',
}, () => {
  for (const [command, file] of [
    ['check', 'alerts.yaml'],
    ['test', 'alerts.test.yaml'],
  ] as const)
    execFileSync('promtool', [command, 'rules', join(deploy, 'prometheus', file)], { timeout: 60_000 });
});

test("an image's package holds no earlier package that lies beside its Dockerfile", (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'fedrad-pack-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const cpu = join('deploy', 'azure', 'environments', 'cpu');
  cpSync(join(root, 'package.json'), join(folder, 'package.json'));
  mkdirSync(join(folder, cpu), { recursive: true });
  for (const name of ['Dockerfile', 'fedrad-0.0.1.tgz']) writeFileSync(join(folder, cpu, name), name);
  const packed = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const paths = (JSON.parse(packed) as { files: { path: string }[] }[])[0]!.files.map(({ path }) => path);
  assert.deepEqual(paths.toSorted(), ['deploy/azure/environments/cpu/Dockerfile', 'package.json']);
});
