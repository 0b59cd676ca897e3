/**
 * @file Starts a program of fedrad on Node 26, whatever Node the shell has: from Node 20 on this file runs everywhere, and hands
 * over to the Node that is installed with the package (`node` on npm).
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const NODE_MAJOR = 26;

/** Runs `cli/main` or another entry of src/ (a checkout) or dist/ (the published package). */
export async function launch(program, entry) {
  const root = join(dirname(fileURLToPath(import.meta.url)), '..');
  if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR) {
    const source = join(root, 'src', `${entry}.ts`);
    await import(isThere(source) ? source : join(root, 'dist', `${entry}.js`));
    return;
  }
  const child = spawn(installedNode(), [program, ...process.argv.slice(2)], { stdio: 'inherit' });
  // The terminal sends Ctrl-C to both; this process must only outlive it. Other signals come to this process alone.
  process.on('SIGINT', () => {});
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));
}

/** A step may read the package's own files alone; asking after any other throws, which says here that it is not there. */
function isThere(path) {
  try {
    return existsSync(path);
  } catch (error) {
    if (error.code === 'ERR_ACCESS_DENIED') return false;
    throw error;
  }
}

function installedNode() {
  try {
    const folder = dirname(createRequire(import.meta.url).resolve('node/package.json'));
    const binary = join(folder, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
    if (existsSync(binary)) return binary;
  } catch {
    // Not installed; the message below says what to do.
  }
  console.error(
    `fedrad: needs Node ${NODE_MAJOR}, this is ${process.version} (npm ci installs the right one; or install Node ${NODE_MAJOR})`,
  );
  process.exit(1);
}
