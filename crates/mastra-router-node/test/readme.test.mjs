// What the README says: its examples are run, and its tables name everything that is public.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import * as pkg from './support/package.mjs';
import { temporary } from './support/directory.mjs';
import { within } from './support/waiting.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const readme = await readFile(path.join(root, 'README.md'), 'utf8');
const examples = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code);

/** Ports that are free now. */
async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = net.createServer().listen(0);
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map(server => server.address().port);
  await Promise.all(servers.map(server => new Promise(closed => server.close(closed))));
  return ports;
}

/** Runs an example as a program that has the package, and gives what it prints. */
async function run(code) {
  const scratch = path.join(root, 'scratch');
  await mkdir(scratch, { recursive: true });
  // Within the package, where its own name leads to it.
  const directory = await mkdtemp(path.join(scratch, 'readme-'));
  try {
    await writeFile(path.join(directory, 'example.mjs'), code);
    const home = await temporary();
    const child = spawn(process.execPath, [path.join(directory, 'example.mjs')], {
      env: { ...process.env, HOME: home, MASTRA_ROUTER_HOME: path.join(home, 'router') },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [printed, errors] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', text => (printed += text));
    child.stderr.setEncoding('utf8').on('data', text => (errors += text));
    const [status] = await within('the end of the example', once(child, 'close'));
    assert.equal(status, 0, errors);
    return printed;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

test('the first example prints what it says', async () => {
  const [proxy, target] = await freePorts(2);
  const code = examples[0].replaceAll('4100', proxy).replaceAll('5199', target);
  const printed = await run(code);
  const said = [...code.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, text]) => text);
  assert.equal(said.length, 2);
  for (const text of said) assert.ok(printed.split('\n').includes(text), `${text} in ${printed}`);
  assert.match(printed, /\[LocalEdgeRouter\] Route registered: shop → http/);
});

test('the example of a shared router says what to do where none runs', async () => {
  assert.equal(examples.length, 2);
  const printed = await run(examples[1]);
  assert.equal(printed, `${examples[1].match(/none runs: (.*)$/m)[1]}\n`);
});

test("the example of the project's own README prints what it says", async () => {
  const project = await readFile(path.join(root, '../../README.md'), 'utf8');
  const [[, code], ...others] = project.matchAll(/^```js\n(.*?)^```$/gms);
  assert.deepEqual(others, []);
  const [port] = await freePorts(1);
  const printed = await run(code.replace("'reverse-proxy' }", `'reverse-proxy', proxyPort: ${port} }`));
  const said = `Server available at: ${code.match(/\/\/ (.*)$/m)[1].replace('3000', port)}`;
  assert.ok(printed.split('\n').includes(said), printed);
});

test('the tables name every class and every public method', () => {
  const missing = [];
  for (const [name, value] of Object.entries(pkg)) {
    const members = Object.getOwnPropertyNames(value.prototype ?? {}).filter(member => member !== 'constructor');
    for (const what of [name, ...members]) if (!new RegExp(`\\b${what}\\b`).test(readme)) missing.push(`${name}.${what}`);
  }
  assert.deepEqual(missing, []);
});
