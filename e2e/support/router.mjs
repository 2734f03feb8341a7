// The release binary: a router on a free port with a state directory of its own.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { run, start } from './process.mjs';

const binary = process.env.MASTRA_ROUTER_BIN ?? new URL('../../target/release/mastra-router', import.meta.url).pathname;

/** `mastra-router serve`, ready for requests. */
export async function startRouter() {
  const home = await mkdtemp(path.join(tmpdir(), 'router-'));
  const env = { MASTRA_ROUTER_HOME: home };
  const server = start(binary, ['serve', '--listen', '127.0.0.1:0', '--home', home], { env });
  const ready = JSON.parse(await server.printed(firstLine));
  assert.equal(ready.event, 'ready', JSON.stringify(ready));
  const port = Number(ready.listen[0].split(':').at(-1));

  return {
    home,
    port,
    ready,
    at: (name, where = '/') => `http://${name}.localhost:${port}${where}`,
    under: (name, where = '/') => `http://localhost:${port}/${name}${where}`,
    /** Runs a command against this router; it has to succeed. */
    async command(...args) {
      const { code, stdout, stderr } = await run(binary, args, { env });
      assert.equal(code, 0, `mastra-router ${args.join(' ')}: ${stderr}`);
      return stdout.trim();
    },
    /** Routes a name to a port of this machine. */
    async add(name, target, ...more) {
      return JSON.parse(await this.command('add', name, `127.0.0.1:${target}`, '--json', ...more));
    },
    /** A free port that no one else gets from this router. */
    async leasePort() {
      return Number((await this.command('port')).match(/\d+/)[0]);
    },
    async stop() {
      await server.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** `mastra-router demo` on a free port. */
export async function startDemo() {
  const home = await mkdtemp(path.join(tmpdir(), 'router-'));
  const env = { MASTRA_ROUTER_HOME: home, NO_COLOR: '1' };
  const demo = start(binary, ['demo', '--listen', '127.0.0.1:0'], { env });
  return {
    demo,
    async stop(signal) {
      const result = await demo.stop(signal);
      await rm(home, { recursive: true, force: true });
      return result;
    },
  };
}

function firstLine(text) {
  return text.includes('\n') && text.slice(0, text.indexOf('\n'));
}
