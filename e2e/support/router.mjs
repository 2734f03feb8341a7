// The release binary: a router on a free port with a state directory of its own.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { run, start } from './process.mjs';

const binary = process.env.MASTRA_ROUTER_BIN ?? new URL('../../target/release/mastra-router', import.meta.url).pathname;

/** `mastra-router serve`, ready for requests; with `tls` over HTTPS. */
export async function startRouter({ tls = false } = {}) {
  const home = await mkdtemp(path.join(tmpdir(), 'router-'));
  // Browsers and shells find what the command trusts in the user's home; this user has one of the test's own.
  const user = path.join(home, 'user');
  const certs = path.join(home, 'certs');
  await mkdir(user);
  const env = { MASTRA_ROUTER_HOME: home, MASTRA_ROUTER_CERT_DIR: certs, ...(tls && { HOME: user }) };
  const scheme = tls ? 'https' : 'http';
  const server = start(binary, ['serve', '--listen', '127.0.0.1:0', '--home', home, ...(tls ? ['--tls'] : [])], { env });
  const ready = JSON.parse(await server.printed(firstLine));
  assert.equal(ready.event, 'ready', JSON.stringify(ready));
  const port = Number(ready.listen[0].split(':').at(-1));

  return {
    home,
    user,
    ca: path.join(certs, 'ca.pem'),
    env,
    port,
    ready,
    at: (name, where = '/') => `${scheme}://${name}.localhost:${port}${where}`,
    under: (name, where = '/') => `${scheme}://localhost:${port}/${name}${where}`,
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
