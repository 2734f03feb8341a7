// The example application, run from a copy: the tests change its files.
import assert from 'node:assert/strict';
import { cp, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { getJson } from './http.mjs';
import { run, start, waitFor } from './process.mjs';

const example = new URL('../../examples/mastra-agent/', import.meta.url).pathname;
const quiet = { MASTRA_TELEMETRY_DISABLED: '1', NO_COLOR: '1' };

/** A copy that shares the example's installed packages. */
export async function copyDesk(parent = process.env.E2E_SCRATCH ?? tmpdir()) {
  const directory = await mkdtemp(path.join(parent, 'desk-'));
  for (const name of ['package.json', 'tsconfig.json', 'src', '.npmrc']) {
    await cp(path.join(example, name), path.join(directory, name), { recursive: true });
  }
  await symlink(path.join(example, 'node_modules'), path.join(directory, 'node_modules'));
  return { directory, remove: () => rm(directory, { recursive: true, force: true }) };
}

/** `mastra build`, Studio included. */
export async function buildDesk(directory) {
  const { code, stdout, stderr } = await run(mastra(directory), ['build', '--studio'], { cwd: directory, env: quiet });
  assert.equal(code, 0, stdout + stderr);
}

/** `mastra dev`: reloads on change. */
export function startDev(directory, port, env) {
  return up(start(mastra(directory), ['dev'], { cwd: directory, env: { ...appEnv(port), ...env } }), port);
}

/** `mastra start`: the built server by way of the CLI, with Studio. */
export function startBuilt(directory, port, env) {
  return up(start(mastra(directory), ['start'], { cwd: directory, env: { ...appEnv(port), ...env } }), port);
}

/** The built server by itself. */
export function startBare(directory, port, env) {
  const server = path.join(directory, '.mastra', 'output', 'index.mjs');
  return up(start(process.execPath, [server], { cwd: directory, env: { ...appEnv(port), ...env } }), port);
}

function appEnv(port) {
  return { ...quiet, PORT: String(port), MASTRA_HOST: '127.0.0.1', MASTRA_AUTO_DETECT_URL: 'true' };
}

async function up(app, port) {
  try {
    await waitFor(`the application at port ${port}`, async () => {
      if (app.child.exitCode !== null) return true;
      return (await getJson(`http://127.0.0.1:${port}/health`)).success;
    });
    assert.equal(app.child.exitCode, null, app.output.stdout + app.output.stderr);
    return app;
  } catch (error) {
    await app.stop();
    throw error;
  }
}

function mastra(directory) {
  return path.join(directory, 'node_modules', '.bin', 'mastra');
}
