// A router in a process of its own, as `mastra-router serve` runs it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { temporary } from './directory.mjs';
import { within } from './waiting.mjs';

const binary =
  process.env.MASTRA_ROUTER_BIN ?? fileURLToPath(new URL('../../../../target/release/mastra-router', import.meta.url));
const running = new Set();
process.on('exit', () => running.forEach(child => child.kill('SIGKILL')));

/** Starts a router with a home of its own, or the given one; `toml` is the text of its configuration file. */
export async function startDaemon(t, { toml = '', args = [], home: given } = {}) {
  const directory = await temporary();
  const home = given ?? path.join(directory, 'home');
  const user = path.join(directory, 'user');
  const file = path.join(directory, 'router.toml');
  await mkdir(user);
  await writeFile(file, toml);
  const child = spawn(binary, ['serve', '--home', home, '--listen', '127.0.0.1:0', '--config', file, ...args], {
    env: { ...process.env, HOME: user, MASTRA_ROUTER_HOME: home, MASTRA_ROUTER_CERT_DIR: path.join(directory, 'certs') },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', chunk => (errors += chunk));
  const ended = once(child, 'exit').finally(() => running.delete(child));
  const stop = async () => {
    child.kill('SIGTERM');
    await within('the end of the router', ended);
  };
  t.after(stop);
  const lines = createInterface({ input: child.stdout });
  const first = await within('the router to be ready', Promise.race([
    once(lines, 'line').then(([line]) => line),
    ended.then(([code]) => Promise.reject(new Error(`the router ended with ${code}: ${errors}`))),
  ]));
  const ready = JSON.parse(first);
  if (ready.event !== 'ready') throw new Error(`the router is not ready: ${first} ${errors}`);
  return { home, child, stop, port: Number(ready.listen[0].split(':').at(-1)) };
}
