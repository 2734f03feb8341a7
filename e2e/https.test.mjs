// HTTPS and HTTP/2 in Chromium, with the authority trusted the way people do it: no warning, no flag that hides one.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { createServer } from 'vite';

import { launchBrowser, openPage, shot } from './support/browser.mjs';
import { buildDesk, copyDesk, startBuilt } from './support/desk.mjs';
import { run, start, waitFor } from './support/process.mjs';
import { startRouter } from './support/router.mjs';

const patient = { timeout: 300_000 };
const EDITS = 100;

let router, browser;
const undo = [];

before(async () => {
  router = await startRouter({ tls: true });
  undo.push(() => router.stop());
  await router.command('tls', 'trust', '--only', 'nss', '--yes');
  browser = await launchBrowser({ home: router.user });
  undo.push(() => browser.close());
}, patient);

after(async () => {
  for (const step of undo.reverse()) await step();
}, patient);

async function scratch(name, parent = process.env.E2E_SCRATCH ?? tmpdir()) {
  await mkdir(parent, { recursive: true });
  const root = await mkdtemp(path.join(parent, `${name}-`));
  undo.push(() => rm(root, { recursive: true, force: true }));
  return root;
}

/** The protocol that each answer came with, and how each WebSocket was opened. */
async function watchProtocols(page) {
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  const seen = { answers: new Set(), sockets: [] };
  session.on('Network.responseReceived', ({ response }) => seen.answers.add(response.protocol));
  session.on('Network.webSocketHandshakeResponseReceived', ({ response }) => seen.sockets.push(response.status));
  return seen;
}

describe('a Mastra application', () => {
  before(async () => {
    const desk = await copyDesk();
    undo.push(() => desk.remove());
    await buildDesk(desk.directory);
    const port = await router.leasePort();
    const app = await startBuilt(desk.directory, port);
    undo.push(() => app.stop());
    await router.add('desk', port, '--health', '/health');
  }, patient);

  test('Studio loads over HTTP/2 and lists the agent', patient, async t => {
    const page = await openPage(t, browser);
    const seen = await watchProtocols(page);
    await page.goto(router.at('desk', '/agents'));
    await page.getByText('Support desk').first().waitFor();
    await shot(page, 'studio-https');
    assert.equal(await page.evaluate(() => globalThis.isSecureContext && location.protocol), 'https:');
    assert.ok(seen.answers.has('h2'), [...seen.answers].join());
    assert.deepEqual([...seen.answers].filter(protocol => protocol.startsWith('http')), []);
  });

  test('streams arrive piece by piece, and the WebSocket opens as a stream of the same connection', patient, async t => {
    const page = await openPage(t, browser);
    await page.goto(router.at('desk', '/health'));
    const seen = await watchProtocols(page);
    const pieces = await page.evaluate(async () => {
      const response = await fetch('/api/agents/support/stream', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ messages: 'a (held) reply' }),
      });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const words = [];
      let text = '';
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return { words, ended: text.includes('[DONE]') };
        text += value;
        for (const [, word] of value.matchAll(/"type":"text-delta".*?"text":"([^"]*)"/g)) {
          words.push(word);
          // The application says nothing more until it is told to: this word did not wait for another.
          await fetch('/next-word', { method: 'POST' });
        }
      }
    });
    assert.ok(pieces.words.length > 3 && pieces.ended, JSON.stringify(pieces));
    const message = await page.evaluate(
      () =>
        new Promise((resolve, reject) => {
          const socket = new WebSocket(`wss://${location.host}/browser/support/stream`);
          socket.onmessage = event => resolve(event.data);
          socket.onerror = () => reject(new Error('the WebSocket failed'));
        }),
    );
    assert.deepEqual(JSON.parse(message), { status: 'connected' });
    // Over HTTP/1.1 it would be 101; 200 answers an extended CONNECT (RFC 8441).
    assert.deepEqual(seen.sockets, [200]);
  });
});

/** Edits a file again and again, and waits each time until the page shows it, without a reload. */
async function editAndWatch(t, name, where, write) {
  const page = await openPage(t, browser);
  const seen = await watchProtocols(page);
  await page.goto(router.at(name, where));
  await page.getByText('words 0', { exact: true }).waitFor();
  await waitFor('the hot-reload socket', () => seen.sockets.length > 0);
  await page.evaluate(() => (globalThis.notReloaded = true));
  for (let edit = 1; edit <= EDITS; edit += 1) {
    await write(edit);
    await page.getByText(`words ${edit}`, { exact: true }).waitFor();
  }
  assert.equal(await page.evaluate(() => globalThis.notReloaded), true, 'the page was reloaded');
  assert.deepEqual(seen.sockets, [200], 'the socket was opened once, over HTTP/2');
  await shot(page, `${name}-https`);
}

test(`Vite: ${EDITS} edits in a row arrive over HTTP/2`, patient, async t => {
  const root = await scratch('vite');
  const file = path.join(root, 'words.js');
  // Of one length and written over what was there: nobody reads half an edit.
  const text = n => `export const text = 'words ${n}'; //`.padEnd(40, '.');
  // Vite's watcher lets changes pass that come within its pause after another: a person who saves sees that, and saves again.
  // What is waited for is that Vite has read these very words: an event may still be of an earlier edit.
  let read;
  const notices = { name: 'notices', hotUpdate: async update => void (read = await update.read()) };
  const write = async n => {
    await waitFor(`Vite to read edit ${n}`, async () => {
      if (read !== text(n)) await writeFile(file, text(n), { flag: 'r+' });
      return read === text(n);
    });
  };
  await writeFile(file, text(0));
  await writeFile(
    path.join(root, 'index.html'),
    '<!doctype html><link rel="icon" href="data:,"><p id="out"></p><script type="module" src="/main.js"></script>\n',
  );
  await writeFile(
    path.join(root, 'main.js'),
    `import { text } from './words.js';
const show = text => (document.getElementById('out').textContent = text);
show(text);
import.meta.hot.accept('./words.js', changed => show(changed.text));\n`,
  );
  const server = { host: '127.0.0.1', port: 0, strictPort: true };
  const cacheDir = path.join(root, '.vite');
  const vite = await createServer({ root, configFile: false, logLevel: 'warn', cacheDir, server, plugins: [notices] });
  undo.push(() => vite.close());
  await vite.listen();
  await router.add('vite', vite.httpServer.address().port, '--health', '/');
  await editAndWatch(t, 'vite', '/', write);
});

test(`Next: ${EDITS} edits in a row arrive over HTTP/2`, patient, async t => {
  // Its compiler follows no link out of the folder that has the lock file.
  const root = await scratch('next', new URL('scratch', import.meta.url).pathname);
  await mkdir(path.join(root, 'app'));
  const write = n =>
    writeFile(path.join(root, 'app', 'page.js'), `export default function Page() {\n  return <p>words ${n}</p>;\n}\n`);
  await write(0);
  await writeFile(
    path.join(root, 'app', 'layout.js'),
    'export default function Layout({ children }) {\n  return <html lang="en"><body>{children}</body></html>;\n}\n',
  );
  await writeFile(path.join(root, 'package.json'), '{"private":true}\n');
  const port = await router.leasePort();
  const env = { NEXT_TELEMETRY_DISABLED: '1', PORT: String(port) };
  const program = new URL('node_modules/.bin/next', import.meta.url).pathname;
  const next = start(program, ['dev', '--hostname', '127.0.0.1'], { cwd: root, env });
  undo.push(() => next.stop());
  await router.add('next', port, '--health', '/');
  await waitFor('Next', async () => {
    if (next.child.exitCode !== null) return true;
    return (await router.command('health', 'next')).includes('healthy');
  });
  assert.equal(next.child.exitCode, null, next.output.stdout + next.output.stderr);
  await editAndWatch(t, 'next', '/', write);
});

describe('the programs of a shell', () => {
  const shell = (script, env = router.env) => run('sh', ['-c', script], { env });
  const url = () => router.at('vite');
  const address = () => `127.0.0.1:${router.port}`;

  for (const [program, script] of [
    ['curl', () => `curl -sS --fail -o /dev/null -w '%{http_version}' ${url()}`],
    ['node', () => `node -e "fetch('https://localhost:${router.port}/').then(r => console.log(r.status))"`],
    ['python', () => `python3 -c "import urllib.request as u; print(u.urlopen('https://localhost:${router.port}/').status)"`],
    ['openssl', () => `openssl s_client -connect ${address()} -servername vite.localhost -verify_return_error </dev/null`],
  ]) {
    test(`${program} accepts the certificate with what env prints, and not without`, patient, async () => {
      const binary = process.env.MASTRA_ROUTER_BIN;
      const trusted = await shell(`eval "$('${binary}' env --shell sh)" && ${script()}`);
      assert.equal(trusted.code, 0, trusted.stdout + trusted.stderr);
      const stranger = await shell(script());
      assert.notEqual(stranger.code, 0, 'it needs no authority at all');
    });
  }
});
