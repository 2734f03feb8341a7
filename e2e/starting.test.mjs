// What a browser shows while an application starts, and that it turns into the application by itself.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { launchBrowser, openPage, shot } from './support/browser.mjs';
import { startRouter } from './support/router.mjs';

const patient = { timeout: 120_000 };

let router, browser;

before(async () => {
  [router, browser] = await Promise.all([startRouter(), launchBrowser()]);
}, patient);

after(async () => {
  await browser?.close();
  await router?.stop();
}, patient);

/** Says how it stands with the command behind a route, as a supervisor does. */
async function report(id, body) {
  const socketPath = path.join(router.home, 'control.sock');
  const headers = { host: 'localhost', 'content-type': 'application/json' };
  const request = http.request({ socketPath, method: 'PUT', path: `/v1/routes/${id}/command`, headers });
  request.end(JSON.stringify(body));
  const [answer] = await once(request, 'response');
  answer.resume();
  assert.equal(answer.statusCode, 204);
}

/** A server on this port that shows what it was asked. */
async function serve(port) {
  const asked = [];
  const server = http.createServer((request, response) => {
    if (request.url !== '/favicon.ico') asked.push(`${request.method} ${request.url}`);
    response.setHeader('content-type', 'text/html').end(`<title>The app</title><h1>${request.url}</h1>`);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return { asked, stop: () => (server.closeAllConnections(), server.close()) };
}

const lines = [
  '$ vite --port 20123 --strictPort',
  '\u001b[36m[vite]\u001b[39m pre-bundling dependencies: react, react-dom, @mastra/client-js',
  '</pre><script>document.title = "hostile"</script>',
  'transforming (412) node_modules/@mastra/core/dist/index.js',
];

describe('a browser', () => {
  test('sees what starts, and then the application', patient, async t => {
    const port = await router.leasePort();
    const { routeId } = await router.add('cold', port);
    const page = await openPage(t, browser);
    await page.goto(router.at('cold', '/deep/page?x=1#part'));
    assert.equal(await page.title(), 'Starting cold · mastra-router');
    await page.evaluate(() => (window.stays = true));
    await report(routeId, { output: lines });
    await page.getByText('transforming (412)').waitFor();
    // Longer than the browser would take to refresh it.
    for (let look = 0; look < 6; look++) await page.waitForResponse(answer => answer.status() === 503);
    assert.equal(await page.evaluate(() => window.stays), true, 'the page was changed, and not loaded again');
    assert.equal(await page.locator('pre').count(), 1);
    assert.match(await page.locator('pre').innerText(), /\n\[vite\] pre-bundling.*\n<\/pre><script>/);
    assert.equal(await page.locator('[role=status] h1').innerText(), 'Starting cold');
    await shot(page, 'starting-light');
    await page.emulateMedia({ colorScheme: 'dark' });
    await shot(page, 'starting-dark');

    await report(routeId, { output: [...lines, 'Error: listen EADDRINUSE'], ended: 'exited with 1' });
    await page.getByText('cold has ended').waitFor();
    assert.match(await page.locator('[role=status] p').innerText(), /exited with 1/);
    await page.getByText('502 · TARGET_ENDED').waitFor();
    await shot(page, 'ended-dark');
    await page.emulateMedia({ colorScheme: 'light' });
    await page.setViewportSize({ width: 390, height: 700 });
    await shot(page, 'ended-light-narrow');
    await report(routeId, { output: ['again'] });
    await page.getByText('Starting cold').first().waitFor();

    const server = await serve(port);
    t.after(server.stop);
    await page.getByRole('heading', { name: '/deep/page?x=1' }).waitFor();
    assert.equal(page.url(), router.at('cold', '/deep/page?x=1#part'));
  });

  test('does so without scripts', patient, async t => {
    const port = await router.leasePort();
    await router.add('plain', port);
    const context = await browser.newContext({ javaScriptEnabled: false });
    t.after(() => context.close());
    const page = await context.newPage();
    await page.goto(router.at('plain', '/x'));
    assert.equal(await page.title(), 'Starting plain · mastra-router');
    const server = await serve(port);
    t.after(server.stop);
    await page.getByRole('heading', { name: '/x' }).waitFor();
  });

  test('sends a form once', patient, async t => {
    const port = await router.leasePort();
    const form = await router.leasePort();
    await router.add('late', port);
    const server = http.createServer((_request, response) => {
      const action = router.at('late', '/order');
      response.setHeader('content-type', 'text/html').end(`<form method=post action="${action}"><button>Go</button></form>`);
    });
    server.listen(form, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => (server.closeAllConnections(), server.close()));
    await router.add('form', form);
    const page = await openPage(t, browser);
    await page.goto(router.at('form'));
    const asked = page.waitForRequest(request => request.method() === 'POST');
    await page.getByRole('button').click({ noWaitAfter: true });
    await asked;
    const app = await serve(port);
    t.after(app.stop);
    await page.getByRole('heading', { name: '/order' }).waitFor();
    assert.deepEqual(app.asked.filter(line => !line.includes('/health')), ['POST /order']);
  });
});
