// Health checks, and registrations and updates that wait for them.
import assert from 'node:assert/strict';

import { ask } from '../support/http.mjs';
import { DEAD_PORT, startTarget } from '../support/target.mjs';
import { numbered, route } from './fixture.mjs';

export const health = [
  {
    name: 'the health of a healthy target is told',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t, 'target', { health: 204 })];
      const { routeId } = await router.registerRoute(route(target));
      const { healthy, statusCode, latencyMs, error } = await router.checkRouteHealth(routeId);
      assert.deepEqual({ healthy, statusCode, error }, { healthy: true, statusCode: 204, error: undefined });
      assert.ok(latencyMs >= 0, String(latencyMs));
      assert.equal(target.checks, 2);
    },
  },
  {
    name: 'the health of an unhealthy target is told with its status',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t, 'target', { health: 503 })];
      const { routeId, status } = await router.registerRoute(route(target));
      assert.equal(status, 'pending');
      const { healthy, statusCode, error } = await router.checkRouteHealth(routeId);
      const expected = { healthy: false, statusCode: 503, error: 'Non-OK response: 503 Service Unavailable' };
      assert.deepEqual({ healthy, statusCode, error }, expected);
    },
  },
  {
    name: 'the health of a target that does not answer is told as timed out',
    async check(t, make) {
      const [router, target] = [await make({ timeoutMs: 100 }), await startTarget(t, 'target', { health: 'silence' })];
      const { routeId } = await router.registerRoute(route(target));
      const { healthy, error } = await router.checkRouteHealth(routeId);
      assert.deepEqual({ healthy, error }, { healthy: false, error: 'Health check timed out after 100ms' });
    },
  },
  {
    name: 'the health of a route that is not there is told as not found',
    async check(t, make) {
      const router = await make();
      const { healthy, error } = await router.checkRouteHealth('route_0');
      assert.deepEqual({ healthy, error }, { healthy: false, error: 'Route not found: route_0' });
    },
  },
  {
    name: 'failures up to the threshold make a route unhealthy and a success active',
    async check(t, make) {
      const [router, target] = [await make({ failureThreshold: 2 }), await startTarget(t)];
      const { routeId } = await router.registerRoute(route(target));
      const status = async () => (await router.getRoute('deploy-1')).status;
      target.health = 500;
      for (const expected of ['active', 'unhealthy', 'unhealthy']) {
        assert.equal((await router.checkRouteHealth(routeId)).healthy, false);
        assert.equal(await status(), expected);
      }
      target.health = 200;
      assert.equal((await router.checkRouteHealth(routeId)).healthy, true);
      assert.equal(await status(), 'active');
      target.health = 500;
      await router.checkRouteHealth(routeId);
      assert.equal(await status(), 'active');
    },
  },
  {
    name: 'a check is noted with its time',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      const { routeId, lastHealthCheck } = await router.registerRoute(route(target));
      const checksBefore = target.checks;
      await router.checkRouteHealth(routeId);
      assert.equal(target.checks, checksBefore + 1);
      const noted = (await router.getRoute('deploy-1')).lastHealthCheck;
      assert.ok(noted.getTime() >= lastHealthCheck.getTime());
    },
  },
  {
    name: 'a route may have a health path of its own',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t, 'target', { health: 503 })];
      const own = await startTarget(t, 'own', { healthPath: '/ready' });
      assert.equal((await router.registerRoute(numbered(target, 1, { healthPath: '/elsewhere' }))).status, 'active');
      const { routeId, status } = await router.registerRoute(numbered(own, 2, { healthPath: '/ready' }));
      assert.equal(status, 'active');
      assert.equal(own.checks, 1);
      assert.deepEqual(target.requests.map(request => request.path), ['/elsewhere']);
      // An empty one goes back to the router's.
      await router.updateRoute(routeId, { healthPath: '' });
      await router.checkRouteHealth(routeId);
      assert.ok(own.requests.some(request => request.path === '/health'));
    },
  },
  {
    name: 'a registration that waits for health is refused where there is none',
    async check(t, make) {
      const router = await make({ timeoutMs: 200 });
      const target = await startTarget(t, 'target', { health: 503 });
      for (const port of [target.port, DEAD_PORT]) {
        const refused = router.registerRoute(route(port, { waitHealthy: true }));
        await assert.rejects(refused, { code: 'TARGET_UNHEALTHY' });
        assert.equal(await router.getRoute('deploy-1'), null);
      }
      // Nothing was left of it, and nothing is in the way.
      assert.equal((await router.registerRoute(route(target))).status, 'pending');
    },
  },
  {
    name: 'a registration that waits for health ends when the target is healthy',
    async check(t, make) {
      const router = await make({ timeoutMs: 60_000 });
      const target = await startTarget(t, 'target', { health: before => (before < 2 ? 503 : 200) });
      const { status, publicUrl } = await router.registerRoute(route(target, { waitHealthy: true }));
      assert.equal(status, 'active');
      assert.ok(target.checks >= 3, String(target.checks));
      assert.equal((await ask(publicUrl)).body, 'target /');
    },
  },
  {
    name: 'an update that waits for health is refused where there is none',
    async check(t, make) {
      const router = await make({ timeoutMs: 200 });
      const [old, fresh] = [await startTarget(t, 'old'), await startTarget(t, 'new', { health: 503 })];
      const { routeId, publicUrl } = await router.registerRoute(route(old));
      for (const port of [fresh.port, DEAD_PORT]) {
        const moved = route(port, { projectId: 'project-2', waitHealthy: true });
        await assert.rejects(router.updateRoute(routeId, moved), { code: 'TARGET_UNHEALTHY' });
      }
      assert.equal((await router.getRoute('deploy-1')).publicUrl, publicUrl);
      assert.equal((await router.listRoutes('project-1'))[0].status, 'active');
      assert.equal((await ask(publicUrl)).body, 'old /');
      fresh.health = 200;
      const moved = await router.updateRoute(routeId, route(fresh, { waitHealthy: true }));
      assert.equal((await ask(moved.publicUrl)).body, 'new /');
    },
  },
];
