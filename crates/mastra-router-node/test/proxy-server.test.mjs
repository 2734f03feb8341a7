// ProxyServer: one port for many servers.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';

import { ask, open, readUntil } from './support/http.mjs';
import { listenToConsole } from './support/console.mjs';
import { LocalEdgeRouter, ProxyServer } from './support/package.mjs';
import { freeRange, listen } from './support/ports.mjs';
import { DEAD_PORT, startTarget } from './support/target.mjs';
import { until, within } from './support/waiting.mjs';

const route = (n, target, more = {}) => ({
  routeId: `route_${n}`,
  subdomain: `app-${n}`,
  targetHost: '127.0.0.1',
  targetPort: typeof target === 'number' ? target : target.port,
  ...more,
});

/** A proxy that runs, with routes. */
async function proxy(t, config = {}, ...routes) {
  const server = new ProxyServer({ port: 0, logRequests: false, drainTimeoutMs: 100, ...config });
  t.after(() => server.stop());
  for (const each of routes) server.addRoute(each);
  await server.start();
  const at = (host, where = '/') => `http://${host}:${server.getPort()}${where}`;
  return { server, at };
}

describe('the proxy', { concurrency: true }, () => {
  test('it tells servers apart by host and by path', async t => {
    const [one, two] = [await startTarget(t, 'one'), await startTarget(t, 'two')];
    const { at } = await proxy(t, {}, route(1, one), route(2, two));
    for (const host of ['app-1.localhost', 'APP-1.LocalHost', 'app-1.localhost.']) {
      assert.equal((await ask(at('app-1.localhost', '/x?y=1'), { headers: { host } })).body, 'one /x?y=1', host);
    }
    assert.equal((await ask(at('app-2.localhost'))).body, 'two /');
    for (const [where, body] of [['/app-1', 'one /'], ['/app-1/', 'one /'], ['/app-1?x=1', 'one /?x=1'], ['/app-2/a/b?c', 'two /a/b?c']]) {
      assert.equal((await ask(at('localhost', where))).body, body, where);
    }
    for (const where of ['/app-3', '/app-12', '/app']) assert.equal((await ask(at('localhost', where))).status, 404, where);
    for (const host of ['app-3.localhost', 'xapp-1.localhost', 'app-1.localhost.evil.test', 'evil.test']) {
      const { status } = await ask(at('localhost', '/app-1'), { headers: { host } });
      assert.ok(status >= 400 && status < 500, `${host}: ${status}`);
    }
    assert.deepEqual([one.requests.length, two.requests.length], [6, 2]);
  });

  test('names live under the base domain', async t => {
    const target = await startTarget(t);
    const { at } = await proxy(t, { baseDomain: 'mastra.local' }, route(1, target));
    const from = host => ask(at('localhost'), { headers: { host } });
    assert.equal((await from('app-1.mastra.local')).body, 'target /');
    for (const host of ['app-1Xmastra.local', 'app-1.localhost', 'app-1.mastra.local.evil.test', 'x.app-1.mastra.local']) {
      assert.notEqual((await from(host)).status, 200, host);
    }
  });

  test('the target sees the host as it was asked, and no forwarded address of a client', async t => {
    const target = await startTarget(t);
    const { at, server } = await proxy(t, {}, route(1, target));
    await ask(at('app-1.localhost'), { headers: { 'x-forwarded-for': '203.0.113.7', 'x-forwarded-host': 'evil.test' } });
    const [{ headers }] = target.requests;
    assert.equal(headers.host, `app-1.localhost:${server.getPort()}`);
    assert.doesNotMatch(headers['x-forwarded-for'] ?? '', /203/);
    assert.doesNotMatch(headers['x-forwarded-host'] ?? '', /evil/);
  });

  test('a path prefix is taken off unless it is to stay', async t => {
    const target = await startTarget(t);
    const { at } = await proxy(t, {}, route(1, target, { pathPrefix: '/api' }), route(2, target, { pathPrefix: '/api', stripPrefix: false }));
    assert.equal((await ask(at('app-1.localhost', '/api/x'))).body, 'target /x');
    assert.equal((await ask(at('app-2.localhost', '/api/x'))).body, 'target /api/x');
    assert.equal((await ask(at('app-2.localhost', '/'))).status, 404);
  });

  test('routes are added, changed and removed while it runs', async t => {
    const [one, two] = [await startTarget(t, 'one'), await startTarget(t, 'two')];
    const { at, server } = await proxy(t);
    assert.deepEqual(server.getRoutes(), []);
    server.addRoute(route(1, one));
    assert.equal((await ask(at('app-1.localhost'))).body, 'one /');
    server.updateRoute(route(1, two));
    assert.equal((await ask(at('app-1.localhost'))).body, 'two /');
    server.updateRoute('route_1', { targetPort: one.port, subdomain: 'moved' });
    assert.equal((await ask(at('moved.localhost'))).body, 'one /');
    assert.equal((await ask(at('app-1.localhost'))).status, 404);
    assert.equal(server.getRoute('moved').routeId, 'route_1');
    assert.equal(server.getRoute('app-1'), undefined);
    assert.throws(() => server.updateRoute('route_9', { subdomain: 'x' }), { code: 'ROUTE_NOT_FOUND', message: 'Route not found: route_9' });
    // An id that is there takes its own place; a name that is there is refused, and goes on serving.
    server.addRoute(route(1, two));
    assert.equal((await ask(at('app-1.localhost'))).body, 'two /');
    assert.throws(() => server.addRoute(route(2, one, { subdomain: 'app-1' })), { code: 'ROUTE_CONFLICT' });
    assert.equal((await ask(at('app-1.localhost'))).body, 'two /');
    assert.deepEqual(server.getRoutes().map(each => each.routeId), ['route_1']);
    assert.equal(server.removeRoute('route_1'), true);
    assert.equal(server.removeRoute('route_1'), false);
    assert.equal((await ask(at('app-1.localhost'))).status, 404);
    server.addRoute(route(1, one));
    server.clearRoutes();
    assert.deepEqual(server.getRoutes(), []);
    assert.equal((await ask(at('app-1.localhost'))).status, 404);
  });

  test('a stream passes as it comes, and may be silent for longer than the timeout', async t => {
    const target = await startTarget(t);
    const { at } = await proxy(t, { timeout: 50 }, route(1, target));
    const stream = await open(at('app-1.localhost', '/stream'));
    assert.equal(stream.headers['content-type'], 'text/event-stream');
    assert.equal(await readUntil(stream, '\n\n'), 'data: target\n\n');
    const silentFrom = performance.now();
    await until('the timeout to have passed several times', () => performance.now() > silentFrom + 300);
    for (const text of [': comment\n\n', 'data: {"a":\ndata: 1}\n\n', 'data: ü\r\n\r\n']) {
      target.streams[0].write(text);
      assert.equal(await readUntil(stream, text), text);
    }
    target.streams[0].end();
    const ended = once(stream, 'end');
    stream.resume();
    await within('the end of the stream', ended);
  });

  test('a client that leaves ends the stream at the target', async t => {
    const target = await startTarget(t);
    const { at } = await proxy(t, {}, route(1, target));
    const stream = await open(at('app-1.localhost', '/stream'));
    const ended = once(target.streams[0], 'close');
    stream.destroy();
    await within('the end at the target', ended);
  });

  test('a target that refuses is answered for once the grace is over', async t => {
    const { at } = await proxy(t, { restartGraceMs: 0 }, route(1, DEAD_PORT));
    const { status } = await ask(at('app-1.localhost'));
    assert.ok(status >= 502 && status <= 504, String(status));
  });

  test('a request waits for a target that is about to start', async t => {
    const port = await freeRange(1);
    const { at } = await proxy(t, { restartGraceMs: 60_000 }, route(1, port));
    const answer = ask(at('app-1.localhost', '/x'));
    const target = await startTarget(t, 'late', { port });
    assert.equal((await answer).body, 'late /x');
    assert.equal(target.requests.length, 1);
  });

  test('other machines are refused unless they are allowed', async t => {
    const { server } = await proxy(t);
    for (const targetHost of ['192.0.2.1', '2001:db8::1', '0.0.0.0']) {
      assert.throws(() => server.addRoute(route(1, 80, { targetHost })), { code: 'INVALID_TARGET' }, targetHost);
    }
    const open = new ProxyServer({ port: 0, allowRemoteTargets: true });
    open.addRoute(route(1, 80, { targetHost: '192.0.2.1' }));
    assert.equal(open.getRoutes().length, 1);
  });
});

describe('start and stop of the proxy', { concurrency: true }, () => {
  test('stopping ends open streams within its drain timeout', async t => {
    const target = await startTarget(t);
    const { server, at } = await proxy(t, { drainTimeoutMs: 50 }, route(1, target));
    const stream = await open(at('app-1.localhost', '/stream'));
    await readUntil(stream, 'data: target\n\n');
    const client = new Promise(resolve => stream.once('close', resolve));
    const upstream = once(target.streams[0], 'close');
    // It may end with a reset.
    stream.on('error', () => {});
    stream.resume();
    await within('the end of stop', server.stop());
    await within('the end of the stream', client);
    await within('the end at the target', upstream);
    assert.equal(server.isRunning(), false);
    await assert.rejects(ask(at('app-1.localhost')), { code: 'ECONNREFUSED' });
    // Again is no error.
    await server.stop();
  });

  test('what is in flight may end within the drain timeout', async t => {
    const target = await startTarget(t);
    const { server, at } = await proxy(t, { drainTimeoutMs: 60_000 }, route(1, target));
    const stream = await open(at('app-1.localhost', '/stream'));
    const stopped = server.stop();
    await until('new connections to be refused', () => ask(at('app-1.localhost')).then(() => false, () => true));
    target.streams[0].end('data: the end\n\n');
    assert.match(await readUntil(stream, 'the end\n\n'), /the end/);
    await within('the end of stop', stopped);
  });

  test('it starts again on the same port at once, with its routes', async t => {
    const target = await startTarget(t);
    const port = await freeRange(1);
    const { server, at } = await proxy(t, { port }, route(1, target));
    for (let n = 0; n < 5; n += 1) {
      const stream = await open(at('app-1.localhost', '/stream'));
      stream.on('error', () => {});
      stream.resume();
      await server.stop();
      await server.start();
      assert.equal(server.getPort(), port);
      assert.equal((await ask(at('app-1.localhost', '/x'))).body, 'target /x');
    }
  });

  test('a port that is in use is an error, and it does not run', async t => {
    const target = await startTarget(t);
    const { port, close } = await listen(t, await freeRange(1));
    const server = new ProxyServer({ port, logRequests: false });
    t.after(() => server.stop());
    server.addRoute(route(1, target));
    const error = await server.start().then(() => assert.fail('it started'), thrown => thrown);
    assert.deepEqual([error.name, error.code], ['EdgeRouterError', 'PORT_IN_USE']);
    assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${port} is in use`));
    assert.equal(server.isRunning(), false);
    await server.stop();
    await close();
    await server.start();
    assert.equal(server.isRunning(), true);
    assert.equal((await ask(`http://app-1.localhost:${port}/`)).body, 'target /');
  });

  test('a second start fails and the first goes on', async t => {
    const target = await startTarget(t);
    const { server, at } = await proxy(t, {}, route(1, target));
    const port = server.getPort();
    await assert.rejects(server.start(), { code: 'PROXY_RUNNING', message: 'Proxy server is already running' });
    assert.equal(server.isRunning(), true);
    assert.equal(server.getPort(), port);
    assert.equal((await ask(at('app-1.localhost'))).body, 'target /');
  });

  test('of concurrent starts one wins', async t => {
    const server = new ProxyServer({ port: 0, logRequests: false });
    t.after(() => server.stop());
    assert.equal(server.isRunning(), false);
    assert.equal(server.getPort(), 0);
    const all = await Promise.allSettled([server.start(), server.start(), server.start()]);
    assert.deepEqual(all.map(each => each.status).sort(), ['fulfilled', 'rejected', 'rejected']);
    assert.notEqual(server.getPort(), 0);
    await Promise.all([server.stop(), server.stop()]);
    assert.equal(server.isRunning(), false);
  });

  test('what is no configuration and no route is refused', async t => {
    const wrong = [undefined, null, {}, { port: '80' }, { port: -1 }, { port: 65_536 }, { port: NaN }, { port: 0, timeout: 'x' }, { port: 0, tls: 'yes' },
      { port: 0, baseDomain: 1 }, { port: 0, baseDomain: 'a b' }, { port: 0, logRequests: 1 }, { port: 0, cert: 1 }, { port: 0, threads: 0 }];
    for (const config of wrong) {
      assert.throws(() => new ProxyServer(config), { name: 'EdgeRouterError', code: 'INVALID_CONFIG' }, JSON.stringify(config));
    }
    const { server } = await proxy(t);
    for (const [more, code] of [
      [{ routeId: 1 }, 'INVALID_FIELD'],
      [{ subdomain: undefined }, 'INVALID_FIELD'],
      [{ targetPort: '80' }, 'INVALID_FIELD'],
      [{ targetPort: 0 }, 'INVALID_TARGET'],
      [{ targetPort: 65_536 }, 'INVALID_TARGET'],
      [{ targetHost: 'a b' }, 'INVALID_TARGET'],
      [{ subdomain: 'a b' }, 'INVALID_NAME'],
      [{ pathPrefix: 'api' }, 'INVALID_FIELD'],
    ]) {
      assert.throws(() => server.addRoute(route(1, 80, more)), { name: 'EdgeRouterError', code }, JSON.stringify(more));
    }
    assert.deepEqual(server.getRoutes(), []);
  });

  test('the proxy of a router shows its routes and leaves them to it', async t => {
    const target = await startTarget(t);
    const router = new LocalEdgeRouter({ strategy: 'reverse-proxy', proxyPort: 0, logRoutes: false, proxy: { drainTimeoutMs: 100 } });
    t.after(() => router.close());
    const server = router.getProxyServer();
    assert.equal(server, router.getProxyServer());
    assert.equal(server.isRunning(), false);
    await server.start();
    assert.equal(router.isProxyRunning(), true);
    await assert.rejects(router.startProxy(), { message: 'Proxy server is already running' });
    const { routeId } = await router.registerRoute({ deploymentId: 'd', projectId: 'p', subdomain: 'app', targetHost: '127.0.0.1', targetPort: target.port });
    assert.equal(server.getRoute('app').routeId, routeId);
    assert.equal((await ask(`http://app.localhost:${server.getPort()}/`)).body, 'target /');
    for (const call of [() => server.addRoute(route(1, target)), () => server.updateRoute(route(1, target)), () => server.removeRoute(routeId), () => server.clearRoutes()]) {
      assert.throws(call, { name: 'EdgeRouterError', code: 'ROUTER_OWNED' });
    }
    await server.stop();
    assert.equal(router.isProxyRunning(), false);
    assert.equal(router.getAllRoutes().length, 1);
  });
});

test('requests are said on the console, where they are to be', async t => {
  const said = listenToConsole(t, '[ProxyServer]');
  const target = await startTarget(t);
  const { server, at } = await proxy(t, { logRequests: true }, route(1, target));
  assert.deepEqual(said.info, [`[ProxyServer] Listening on http://localhost:${server.getPort()}`]);
  await ask(at('app-1.localhost', '/x?y=1'), { method: 'POST', body: '' });
  await ask(at('nothing.localhost', '/z'));
  await until('two lines', () => said.info.length >= 3);
  const lines = said.info.slice(1).sort();
  assert.match(lines[0], new RegExp(`^\\[ProxyServer\\] GET nothing\\.localhost:${server.getPort()}/z 404 \\d+\\.\\dms$`));
  assert.match(lines[1], new RegExp(`^\\[ProxyServer\\] POST app-1\\.localhost:${server.getPort()}/x\\?y=1 200 \\d+\\.\\dms$`));
  const silent = await proxy(t, { logRequests: false }, route(1, target));
  await ask(silent.at('app-1.localhost'));
  await ask(at('app-1.localhost', '/last'));
  await until('the last line', () => said.info.some(line => line.includes('/last')));
  assert.ok(!said.info.some(line => line.includes(`:${silent.server.getPort()}`)), said.info.join('\n'));
  assert.deepEqual(said.error, []);
});
