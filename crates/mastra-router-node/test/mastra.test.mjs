// The real Mastra application behind a router of this program, and a second instance of it in its place.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { buildDesk, reasonToSkip, startDesk } from './support/desk.mjs';
import { temporary } from './support/directory.mjs';
import { ask, open, readUntil } from './support/http.mjs';
import { LocalEdgeRouter } from './support/package.mjs';
import { freeRange } from './support/ports.mjs';
import { until, within } from './support/waiting.mjs';

const desk = { deploymentId: 'desk', projectId: 'support', subdomain: 'desk', targetHost: '127.0.0.1' };
const patient = { timeout: 300_000, skip: reasonToSkip() };

let router, built, url;
/** The instances, with their ports, in the order in which they were started. */
const apps = [];

before(async () => {
  if (patient.skip) return;
  built = await buildDesk();
  const start = await freeRange(10);
  router = new LocalEdgeRouter({
    strategy: 'reverse-proxy',
    localhostUrls: 'subdomain',
    proxyPort: 0,
    portRange: { start, end: start + 9 },
    leaseDir: await temporary(),
    healthCheck: { path: '/health', timeoutMs: 120_000 },
    logRoutes: false,
  });
}, patient);

after(async () => {
  await router?.close();
  for (const app of apps) await app.stop();
}, patient);

/** Starts an instance at a port of the router's, and has a route lead there as soon as it is healthy. */
async function bring(lead) {
  const port = await router.allocatePort();
  const app = startDesk(built, port);
  apps.push({ ...app, port });
  const died = app.ended.then(({ code, stdout, stderr }) => {
    throw new Error(`the application ended with ${code}\n${stdout}${stderr}`);
  });
  // It ends in any case, but only before it is healthy is that a failure.
  died.catch(() => {});
  return within('the route', Promise.race([lead({ ...desk, targetPort: port, waitHealthy: true }), died]), 180_000);
}

function post(where, body) {
  return {
    url: `${url}${where}`,
    options: { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
  };
}

const askJson = async where => JSON.parse((await ask(`${url}${where}`)).body);

test('the application is registered while it starts, and its route is there once it is healthy', patient, async () => {
  const route = await bring(config => router.registerRoute(config));
  assert.equal(route.status, 'active');
  assert.match(route.publicUrl, /^http:\/\/desk\.localhost:\d+$/);
  url = route.publicUrl;
  assert.deepEqual(await askJson('/health'), { success: true });
  const health = await router.checkRouteHealth(route.routeId);
  assert.deepEqual([health.healthy, health.statusCode], [true, 200]);
});

test('it sees the host that was asked for', patient, async () => {
  const { url: seen, headers } = await askJson('/request?x=1');
  assert.equal(seen, `${url}/request?x=1`);
  assert.equal(headers['x-forwarded-host'], new URL(url).host);
});

test('its agent answers', patient, async () => {
  const { url: at, options } = post('/api/agents/support/generate', { messages: 'Where is A-200?' });
  const { status, body } = await ask(at, options);
  assert.equal(status, 200, body);
  assert.equal(JSON.parse(body).text, 'Order A-200 is on its way, two stops left.');
});

test('its agent streams, each event before the next is written', patient, async () => {
  const { url: at, options } = post('/api/agents/support/stream', { messages: 'a (held) reply' });
  const answer = await open(at, options);
  assert.match(answer.headers['content-type'], /text\/event-stream/);
  const words = [];
  for await (const event of eventsOf(answer)) {
    if (event.type !== 'text-delta') continue;
    words.push(event.payload.text);
    // The application writes no more until it is told to.
    assert.equal((await ask(`${url}/next-word`, { method: 'POST' })).status, 204);
  }
  assert.equal(words.join('').trim(), 'Thank you, we will look into "a (held) reply" today.');
});

test('its workflow streams', patient, async () => {
  const where = `/api/workflows/triage/stream?runId=${crypto.randomUUID()}`;
  const { url: at, options } = post(where, { inputData: { subject: 'A refund, please' } });
  const { status, body } = await ask(at, options);
  assert.equal(status, 200, body);
  const records = body.split('\x1e').slice(0, -1).map(record => JSON.parse(record));
  assert.equal(records[0].type, 'workflow-start');
  assert.equal(records.at(-1).payload.workflowStatus, 'success');
});

test('a second instance takes its place while a stream of the first is open', patient, async () => {
  const before = await router.getRoute('desk');
  const { pid } = await askJson('/request');
  const stream = await open(`${url}/ticks`);
  await readUntil(stream, 'data: 1\n\n');

  const after = await bring(config => router.updateRoute(before.routeId, config));
  assert.deepEqual([after.routeId, after.publicUrl, after.status], [before.routeId, url, 'active']);
  assert.notEqual((await askJson('/request')).pid, pid, 'requests reach the second instance');
  assert.deepEqual(await askJson('/streams'), { open: 0 }, 'which has no part in the stream');
  const streamsOfFirst = async () => JSON.parse((await ask(`http://127.0.0.1:${apps[0].port}/streams`)).body).open;
  assert.equal(await streamsOfFirst(), 1, 'the first goes on with what it began');
  stream.destroy();
  await until('the first instance to see its reader leave', async () => (await streamsOfFirst()) === 0);
});

test('the first instance is stopped, and nobody notices', patient, async () => {
  await apps[0].stop();
  const { url: at, options } = post('/api/agents/support/generate', { messages: 'Where is A-100?' });
  assert.equal(JSON.parse((await ask(at, options)).body).text, 'Order A-100 is packed, leaves tonight.');
});

/** The JSON events of an event stream, as they come. */
async function* eventsOf(answer) {
  let text = '';
  for await (const chunk of answer) {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const data = text.slice(0, end).replace(/^data: ?/, '');
      text = text.slice(end + 2);
      if (data !== '[DONE]') yield JSON.parse(data);
    }
  }
}
