// HealthChecker: one question to a target.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, test } from 'node:test';

import { HealthChecker } from './support/package.mjs';
import { DEAD_PORT, startTarget } from './support/target.mjs';

const config = { path: '/health', timeoutMs: 30_000, failureThreshold: 3 };
const route = (targetPort, more = {}) => ({ targetHost: '127.0.0.1', targetPort, ...more });

/** A server that answers whatever it is asked with these bytes; with none it keeps silent. */
async function raw(t, bytes) {
  const sockets = new Set();
  const server = net.createServer(socket => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => bytes === undefined || socket.end(bytes));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    sockets.forEach(socket => socket.destroy());
    server.close();
  });
  return server.address().port;
}

describe('health checks', { concurrency: true }, () => {
  for (const status of [200, 204, 299]) {
    test(`${status} is healthy`, async t => {
      const target = await startTarget(t, 'target', { health: status });
      const health = await new HealthChecker(config).check(route(target.port));
      assert.deepEqual({ ...health, latencyMs: 0 }, { healthy: true, statusCode: status, latencyMs: 0 });
      assert.ok(Number.isFinite(health.latencyMs) && health.latencyMs >= 0);
      assert.equal(health.error, undefined);
    });
  }

  for (const [status, text] of [[503, 'Service Unavailable'], [500, 'Internal Server Error'], [404, 'Not Found'], [304, 'Not Modified']]) {
    test(`${status} is not healthy, and is said with its text`, async t => {
      const target = await startTarget(t, 'target', { health: status });
      const { healthy, statusCode, error } = await new HealthChecker(config).check(route(target.port));
      assert.deepEqual({ healthy, statusCode, error }, { healthy: false, statusCode: status, error: `Non-OK response: ${status} ${text}` });
    });
  }

  test('the text is the one that the target sent', async t => {
    const port = await raw(t, 'HTTP/1.1 503 Not Today\r\ncontent-length: 0\r\n\r\n');
    assert.equal((await new HealthChecker(config).check(route(port))).error, 'Non-OK response: 503 Not Today');
  });

  test('a target that keeps silent is said to have timed out', async t => {
    const port = await raw(t);
    const { healthy, statusCode, error, latencyMs } = await new HealthChecker({ ...config, timeoutMs: 100 }).check(route(port));
    assert.deepEqual({ healthy, statusCode, error }, { healthy: false, statusCode: undefined, error: 'Health check timed out after 100ms' });
    assert.ok(latencyMs > 0);
  });

  test('a target that refuses is not healthy', async () => {
    const { healthy, statusCode, error } = await new HealthChecker(config).check(route(DEAD_PORT));
    assert.deepEqual({ healthy, statusCode }, { healthy: false, statusCode: undefined });
    assert.match(error, /ECONNREFUSED|refused/i);
  });

  test('a target that speaks something else is not healthy', async t => {
    for (const bytes of ['SSH-2.0-OpenSSH_9.9\r\n', '\0\0\0', 'HTTP/1.1 abc\r\n\r\n', '']) {
      const { healthy, error } = await new HealthChecker(config).check(route(await raw(t, bytes)));
      assert.equal(healthy, false, JSON.stringify(bytes));
      assert.ok(error.length > 0);
    }
  });

  test('it asks for the path, and for the one of the route where it has one', async t => {
    const target = await startTarget(t, 'target', { healthPath: '/none' });
    const checker = new HealthChecker({ ...config, path: '/ready?full=1' });
    assert.equal((await checker.check(route(target.port))).healthy, true);
    assert.equal((await checker.check(route(target.port, { healthPath: '/own' }))).healthy, true);
    assert.deepEqual(target.requests.map(({ method, path }) => `${method} ${path}`), ['GET /ready?full=1', 'GET /own']);
  });

  test('a name is looked up, and ::1 asked, too', async t => {
    const target = await startTarget(t);
    assert.equal((await new HealthChecker(config).check({ targetHost: 'localhost', targetPort: target.port })).healthy, true);
    const { healthy, error } = await new HealthChecker(config).check({ targetHost: 'nowhere.invalid', targetPort: 80 });
    assert.equal(healthy, false);
    assert.ok(error.length > 0);
  });

  test('so many failures make a route unhealthy', () => {
    const checker = new HealthChecker({ ...config, failureThreshold: 2 });
    assert.deepEqual([0, 1, 2, 3, 1e9].map(n => checker.shouldMarkUnhealthy(n)), [false, false, true, true, true]);
  });

  test('what is no configuration and no route is refused', async () => {
    for (const wrong of [undefined, {}, { ...config, path: 'health' }, { ...config, path: '' }, { ...config, timeoutMs: -1 }, { ...config, failureThreshold: 1.5 }]) {
      assert.throws(() => new HealthChecker(wrong), { name: 'EdgeRouterError', code: 'INVALID_CONFIG' }, JSON.stringify(wrong));
    }
    const checker = new HealthChecker(config);
    for (const wrong of [undefined, {}, route('80'), route(NaN), { targetHost: 1, targetPort: 1 }, route(1, { healthPath: 1 })]) {
      await assert.rejects(checker.check(wrong), { name: 'EdgeRouterError', code: 'INVALID_FIELD' }, JSON.stringify(wrong));
    }
    for (const port of [0, 65_536]) await assert.rejects(checker.check(route(port)), { code: 'INVALID_TARGET' });
    await assert.rejects(checker.check(route(1, { targetScheme: 'ftp' })), { name: 'EdgeRouterError' });
    await assert.rejects(checker.check(route(1, { healthPath: 'x' })), { code: 'INVALID_FIELD' });
  });
});
