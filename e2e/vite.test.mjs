// A Vite dev server behind the router, in Chromium.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { createServer } from 'vite';

import { launchBrowser, openPage, shot } from './support/browser.mjs';
import { startRouter } from './support/router.mjs';

const patient = { timeout: 180_000 };
const MODULES = 2_000;
/** Far above what a browser's six connections need, far below one for each request. */
const UPSTREAM_SOCKETS = 64;

let router, browser, root, vite;
let opened = 0;

before(async () => {
  router = await startRouter();
  browser = await launchBrowser();
  root = await mkdtemp(path.join(process.env.E2E_SCRATCH ?? tmpdir(), 'vite-'));
  await writeProject();
  vite = await createServer({
    root,
    configFile: false,
    logLevel: 'warn',
    cacheDir: path.join(root, '.vite'),
    server: { host: '127.0.0.1', port: 0, strictPort: true },
  });
  vite.httpServer.on('connection', () => (opened += 1));
  await vite.listen();
  await router.add('shop', vite.httpServer.address().port);
}, patient);

after(async () => {
  await browser?.close();
  await vite?.close();
  await router?.stop();
  if (root) await rm(root, { recursive: true, force: true });
}, patient);

test('a saved module arrives in the page without a reload', patient, async t => {
  const page = await openPage(t, browser);
  const sockets = [];
  page.on('websocket', socket => sockets.push(socket.url()));
  const connected = page.waitForEvent('console', message => message.text().includes('[vite] connected'));
  await page.goto(router.at('shop'));
  await page.getByText('First words').waitFor();
  await connected;
  // Vite's client goes to the dev server itself when its socket through the router fails.
  assert.deepEqual(sockets.map(url => new URL(url).host), [`shop.localhost:${router.port}`]);
  await page.evaluate(() => (globalThis.notReloaded = true));
  await writeFile(path.join(root, 'words.js'), words('Second words'), { flag: 'r+' });
  await page.getByText('Second words').waitFor();
  assert.equal(await page.evaluate(() => globalThis.notReloaded), true);
  await shot(page, 'vite');
});

test(`a cold page of ${MODULES} modules loses none and shares its upstream sockets`, patient, async t => {
  const page = await openPage(t, browser);
  const failed = [];
  page.on('requestfailed', request => failed.push(`${request.url()}: ${request.failure().errorText}`));
  page.on('response', response => response.status() >= 400 && failed.push(`${response.url()}: ${response.status()}`));
  const before = opened;
  await page.goto(router.at('shop', '/many.html'));
  await page.getByText(`sum ${(MODULES * (MODULES - 1)) / 2}`).waitFor({ timeout: 150_000 });
  assert.deepEqual(failed, []);
  t.diagnostic(`${opened - before} upstream sockets`);
  assert.ok(opened - before <= UPSTREAM_SOCKETS, `${opened - before} upstream sockets`);
});

async function writeProject() {
  await mkdir(path.join(root, 'many'));
  const page = script => `<!doctype html><title>shop</title><link rel="icon" href="data:,">
<p id="out"></p><script type="module" src="${script}"></script>\n`;
  await writeFile(path.join(root, 'index.html'), page('/main.js'));
  await writeFile(path.join(root, 'many.html'), page('/many.js'));
  await writeFile(path.join(root, 'words.js'), words('First words'));
  await writeFile(
    path.join(root, 'main.js'),
    `import { text } from './words.js';
const show = text => (document.getElementById('out').textContent = text);
show(text);
import.meta.hot.accept('./words.js', changed => show(changed.text));\n`,
  );
  const numbers = [...Array(MODULES).keys()];
  await Promise.all(numbers.map(n => writeFile(path.join(root, 'many', `${n}.js`), `export default ${n};\n`)));
  await writeFile(
    path.join(root, 'many.js'),
    numbers.map(n => `import n${n} from './many/${n}.js';\n`).join('') +
      `document.getElementById('out').textContent = 'sum ' + (${numbers.map(n => `n${n}`).join('+')});\n`,
  );
}

function words(text) {
  return `export const text = '${text}';\n`;
}
