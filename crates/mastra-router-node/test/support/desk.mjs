// The example application, a support desk on Mastra: built in a copy of its own, and started from there.
import { existsSync } from 'node:fs';
import { cp, symlink } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { run, start } from '../../../../e2e/support/process.mjs';
import { temporary } from './directory.mjs';

const example = fileURLToPath(new URL('../../../../examples/mastra-agent', import.meta.url));
const quiet = { MASTRA_TELEMETRY_DISABLED: '1', NO_COLOR: '1' };

/** Why the application cannot run here; `false` where it can. */
export function reasonToSkip() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 22 || (major === 22 && minor < 13)) return `Mastra needs Node 22.13, and this is ${process.version}`;
  if (!existsSync(path.join(example, 'node_modules', '.bin', 'mastra'))) return `the packages of ${example} are not installed`;
  return false;
}

/** A built copy, which shares the example's installed packages. */
export async function buildDesk() {
  const directory = await temporary();
  for (const name of ['package.json', 'tsconfig.json', 'src', '.npmrc']) {
    if (existsSync(path.join(example, name))) await cp(path.join(example, name), path.join(directory, name), { recursive: true });
  }
  await symlink(path.join(example, 'node_modules'), path.join(directory, 'node_modules'));
  const mastra = path.join(directory, 'node_modules', '.bin', 'mastra');
  const { code, stdout, stderr } = await run(mastra, ['build'], { cwd: directory, env: quiet });
  if (code !== 0) throw new Error(`mastra build: ${code}\n${stdout}${stderr}`);
  return directory;
}

/** Starts a built copy at a port, and does not wait for it. */
export function startDesk(directory, port) {
  const server = path.join(directory, '.mastra', 'output', 'index.mjs');
  const env = { ...quiet, PORT: String(port), MASTRA_HOST: '127.0.0.1' };
  return start(process.execPath, [server], { cwd: directory, env });
}
