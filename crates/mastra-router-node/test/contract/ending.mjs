// Ports, events, and the end.
import assert from 'node:assert/strict';

import { ask } from '../support/http.mjs';
import { startTarget } from '../support/target.mjs';
import { until, within } from '../support/waiting.mjs';
import { numbered, PROXIED, route } from './fixture.mjs';

export const ending = [
  {
    name: 'a port is allocated once and released once',
    async check(t, make) {
      const router = await make();
      const ports = await Promise.all([router.allocatePort(), router.allocatePort(), router.allocatePort()]);
      assert.equal(new Set(ports).size, 3);
      for (const port of ports) assert.ok(port >= 23_100 && port <= 23_199, String(port));
      assert.equal(await router.releasePort(ports[0]), true);
      assert.equal(await router.releasePort(ports[0]), false);
      assert.equal(await router.releasePort(1), false);
    },
  },
  {
    name: 'changes of routes are told as events',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      const events = [];
      router.on('route', event => events.push(event));
      const { routeId, publicUrl } = await router.registerRoute(route(target));
      await router.updateRoute(routeId, { projectId: 'project-2' });
      await router.removeRoute(routeId);
      await until('three events', () => events.length >= 3);
      assert.deepEqual(events.map(event => [event.kind, event.change]), [
        ['route', 'registered'],
        ['route', 'updated'],
        ['route', 'removed'],
      ]);
      for (const event of events) {
        assert.equal(event.route.routeId, routeId);
        assert.equal(event.route.publicUrl, publicUrl);
      }
    },
  },
  {
    name: 'health checks are told as events',
    async check(t, make) {
      const [router, target] = [await make({ failureThreshold: 1 }), await startTarget(t)];
      const events = [];
      const { routeId } = await router.registerRoute(route(target));
      router.on('health', event => events.push(event));
      target.health = 503;
      await router.checkRouteHealth(routeId);
      await until('an event', () => events.length >= 1);
      const [{ kind, route: told, before, health }] = events;
      assert.deepEqual([kind, told.routeId, before, told.status], ['health', routeId, 'active', 'unhealthy']);
      assert.deepEqual([health.healthy, health.statusCode], [false, 503]);
    },
  },
  {
    name: 'a listener that is taken off is told nothing more',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      const [all, off, once] = [[], [], []];
      const listener = event => off.push(event);
      router.on('route', event => all.push(event));
      router.on('route', listener);
      router.once('route', event => once.push(event));
      await router.registerRoute(numbered(target, 1));
      await until('the first event', () => all.length >= 1);
      router.off('route', listener);
      await router.registerRoute(numbered(target, 2));
      await until('the second event', () => all.length >= 2);
      assert.deepEqual([off.length, once.length], [1, 1]);
    },
  },
  {
    name: 'requests are told as events',
    kinds: PROXIED,
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      const events = [];
      const { routeId, publicUrl } = await router.registerRoute(route(target));
      router.on('request', event => events.push(event));
      const { host } = new URL(publicUrl);
      await ask(`${publicUrl}/x?y=1`, { method: 'POST', body: '' });
      await until('an event', () => events.length > 0);
      const { kind, at, protocol, method, status, latencyMs, ...told } = events[0];
      assert.deepEqual([kind, protocol, method, status], ['request', 'http/1.1', 'POST', 200]);
      assert.deepEqual([told.routeId, told.subdomain, told.host], [routeId, 'app', host]);
      assert.match(told.path, /\/x\?y=1$/);
      assert.ok(at instanceof Date && latencyMs >= 0);
      await ask(`http://nothing.localhost:${new URL(publicUrl).port}/`);
      const unknown = await until('an event of no route', () => events.find(event => event.host.startsWith('nothing.')));
      assert.deepEqual([unknown.status, unknown.routeId], [404, undefined]);
    },
  },
  {
    name: 'an iterator of events ends when the router is closed',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      const [all, some] = [router[Symbol.asyncIterator](), router.events('route')];
      await router.registerRoute(route(target));
      const { value } = await within('an event', some.next());
      assert.deepEqual([value.kind, value.change, value.route.deploymentId], ['route', 'registered', 'deploy-1']);
      const read = (async () => {
        const kinds = [];
        for await (const event of all) kinds.push(event.kind);
        return kinds;
      })();
      const waiting = some.next();
      await router.close();
      assert.ok((await within('the end', read)).includes('route'));
      for (let result = await waiting; !result.done; ) result = await within('the end', some.next());
      assert.deepEqual(await some.next(), { value: undefined, done: true });
    },
  },
  {
    name: 'calls after closing fail',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      const { routeId } = await router.registerRoute(route(target));
      await router.close();
      const closed = { code: 'ROUTER_CLOSED' };
      await assert.rejects(router.registerRoute(numbered(target, 2)), closed);
      await assert.rejects(router.updateRoute(routeId, { targetPort: target.port }), closed);
      await assert.rejects(router.removeRoute(routeId), closed);
      await assert.rejects(router.getRoute('deploy-1'), closed);
      await assert.rejects(router.listRoutes('project-1'), closed);
      await assert.rejects(router.checkRouteHealth(routeId), closed);
      await assert.rejects(router.allocatePort(), closed);
      await assert.rejects(router.releasePort(1), closed);
      await assert.rejects(router.startProxy(), closed);
      assert.deepEqual(router.getAllRoutes(), []);
      assert.equal(router.isProxyRunning(), false);
    },
  },
  {
    name: 'closing twice does nothing more',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      await router.registerRoute(route(target));
      await Promise.all([router.close(), router.close()]);
      await router.close();
      await router[Symbol.asyncDispose]();
    },
  },
];
