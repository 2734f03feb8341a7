// A program that uses the package, in a process of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';

import { temporary } from './directory.mjs';
import { within } from './waiting.mjs';

const running = new Set();
process.on('exit', () => running.forEach(child => child.kill('SIGKILL')));

/**
 * Runs a program, whose text may use what the package exports, `server` (an HTTP server that answers 200, whose port is
 * `port`), and `say(value)`, which sends a line of JSON to the test. It has a home directory of its own.
 */
export async function startProgram(text, { args = [], env = {} } = {}) {
  const user = path.join(await temporary(), 'user');
  await mkdir(user);
  const program = `
    import * as pkg from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)};
    import http from 'node:http';
    import { once } from 'node:events';
    const { LocalEdgeRouter, PortManager, ProxyServer, HostsManager, TLSManager, EdgeRouterError } = pkg;
    const server = http.createServer((request, response) => response.end('ok'));
    const listen = async () => { server.listen(0, '127.0.0.1'); await once(server, 'listening'); return server.address().port; };
    const route = (port, name = 'shop') =>
      ({ deploymentId: name, projectId: 'p', subdomain: name, targetHost: '127.0.0.1', targetPort: port });
    const say = value => process.stdout.write('\\u0001' + JSON.stringify(value) + '\\n');
    ${text}
  `;
  const child = spawn(process.execPath, [...args, '--input-type=module', '-e', program], {
    env: { ...process.env, HOME: user, MASTRA_ROUTER_HOME: path.join(user, 'router'), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', chunk => (errors += chunk));
  const ended = once(child, 'close').then(([code, signal]) => {
    running.delete(child);
    return { code, signal, errors, said };
  });
  const said = [];
  const lines = createInterface({ input: child.stdout });
  lines.on('line', line => line.startsWith('\u0001') && said.push(JSON.parse(line.slice(1))) && lines.emit('said'));
  return {
    child,
    user,
    /** What the program says `index`-th. */
    hears: index =>
      within(
        `what the program says (it said ${JSON.stringify(said)})`,
        (async () => {
          while (said.length <= index) {
            await Promise.race([once(lines, 'said'), ended.then(end => {
              if (said.length <= index) throw new Error(`the program ended with ${end.code ?? end.signal}: ${errors}`);
            })]);
          }
          return said[index];
        })(),
      ),
    /** How it ended: by itself, or by what the test did. */
    ended: () => within(`the end of the program (${errors})`, ended),
  };
}

/** Runs a program to its end. */
export async function run(text, options) {
  return (await startProgram(text, options)).ended();
}
