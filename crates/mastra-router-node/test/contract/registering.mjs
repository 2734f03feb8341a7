// Registering and listing.
import assert from 'node:assert/strict';

import { ask } from '../support/http.mjs';
import { DEAD_PORT, startTarget } from '../support/target.mjs';
import { numbered, PROXIED, route } from './fixture.mjs';

export const registering = [
  {
    name: 'a registered route answers under its URL at once',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      const { publicUrl, routeId, deploymentId } = await router.registerRoute(route(target));
      assert.equal((await ask(`${publicUrl}/x?y=1`)).body, 'target /x?y=1');
      assert.equal(deploymentId, 'deploy-1');
      assert.match(routeId, /^route_[0-9a-f]{8}$/);
    },
  },
  {
    name: 'a route is active where its target is healthy and pending where there is none',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      assert.equal((await router.registerRoute(numbered(target, 1))).status, 'active');
      assert.equal((await router.registerRoute(numbered(DEAD_PORT, 2))).status, 'pending');
      assert.equal((await router.getRoute('deploy-2')).status, 'pending');
    },
  },
  {
    name: 'dates are Date objects',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      const before = Date.now();
      const registered = await router.registerRoute(route(target));
      for (const info of [registered, await router.getRoute('deploy-1'), ...(await router.listRoutes('project-1'))]) {
        assert.ok(info.createdAt instanceof Date && info.lastHealthCheck instanceof Date);
        // Clocks of processes agree to the millisecond.
        for (const date of [info.createdAt, info.lastHealthCheck]) {
          assert.ok(date.getTime() >= before - 1 && date.getTime() <= Date.now() + 1, date.toISOString());
        }
        assert.equal(info.createdAt.getTime(), registered.createdAt.getTime());
      }
    },
  },
  {
    name: 'what is absent is undefined',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      const { routeId } = await router.registerRoute(route(target));
      assert.equal((await router.checkRouteHealth(routeId)).error, undefined);
      assert.equal((await router.checkRouteHealth('route_0')).statusCode, undefined);
      assert.equal((await router.checkRouteHealth('route_0')).latencyMs, undefined);
      assert.equal(await router.removeRoute(routeId), undefined);
    },
  },
  {
    name: 'a deployment without a route has none',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      assert.equal(await router.getRoute('deploy-1'), null);
      const { routeId } = await router.registerRoute(route(target));
      assert.equal((await router.getRoute('deploy-1')).routeId, routeId);
      // It is asked for by deployment, not by route or name.
      for (const other of ['deploy-2', routeId, 'app', '']) assert.equal(await router.getRoute(other), null, other);
    },
  },
  {
    name: 'a second registration of a deployment fails and the first goes on serving',
    async check(t, make) {
      const router = await make();
      const [first, second] = [await startTarget(t, 'first'), await startTarget(t, 'second')];
      const { publicUrl } = await router.registerRoute(route(first));
      const again = router.registerRoute(route(second, { subdomain: 'other' }));
      await assert.rejects(again, { code: 'ROUTE_EXISTS', message: 'Route already exists for deployment deploy-1' });
      assert.equal((await ask(publicUrl)).body, 'first /');
      assert.equal((await router.listRoutes('project-1')).length, 1);
      assert.equal((await router.getRoute('deploy-1')).publicUrl, publicUrl);
    },
  },
  {
    name: 'a name that is taken is refused and its route goes on serving',
    kinds: PROXIED,
    async check(t, make) {
      const router = await make();
      const [first, second] = [await startTarget(t, 'first'), await startTarget(t, 'second')];
      const { publicUrl } = await router.registerRoute(route(first));
      for (const subdomain of ['app', 'APP']) {
        const conflict = router.registerRoute(route(second, { deploymentId: 'deploy-2', subdomain }));
        await assert.rejects(conflict, { code: 'ROUTE_CONFLICT' });
      }
      const other = await router.registerRoute(numbered(second, 3));
      await assert.rejects(router.updateRoute(other.routeId, { subdomain: 'app' }), { code: 'ROUTE_CONFLICT' });
      // The loser's end does not take the winner with it.
      await router.removeRoute('deploy-2');
      assert.equal((await ask(publicUrl)).body, 'first /');
      assert.equal((await ask(other.publicUrl)).body, 'second /');
    },
  },
  {
    name: 'names that are no DNS labels are refused',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      const names = ['', '.', 'a/b', '../x', 'a b', '-a', 'a-', 'a..b', 'a_b', 'ü', 'a:b', 'a\nb', '%61', 'feature/x--app', 'x'.repeat(64)];
      for (const subdomain of names) {
        await assert.rejects(router.registerRoute(route(target, { subdomain })), { code: 'INVALID_NAME' }, JSON.stringify(subdomain));
      }
      const { routeId, publicUrl } = await router.registerRoute(route(target));
      for (const subdomain of names) {
        await assert.rejects(router.updateRoute(routeId, { subdomain }), { code: 'INVALID_NAME' }, JSON.stringify(subdomain));
      }
      assert.equal((await router.listRoutes('project-1')).length, 1);
      assert.equal((await ask(publicUrl)).body, 'target /');
    },
  },
  {
    name: 'a path prefix is taken off unless it is to stay',
    kinds: PROXIED,
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      const stripped = await router.registerRoute(numbered(target, 1, { pathPrefix: '/api' }));
      const kept = await router.registerRoute(numbered(target, 2, { pathPrefix: '/api', stripPrefix: false }));
      const at = (info, name, where) => {
        const { port } = new URL(info.publicUrl);
        return ask(`http://${name}.localhost:${port}${where}`);
      };
      assert.equal((await at(stripped, 'app-1', '/api/x')).body, 'target /x');
      assert.equal((await at(kept, 'app-2', '/api/x')).body, 'target /api/x');
      assert.equal((await at(kept, 'app-2', '/apix')).status, 404);
      await router.updateRoute(kept.routeId, { stripPrefix: true });
      assert.equal((await at(kept, 'app-2', '/api/x')).body, 'target /x');
    },
  },
  {
    name: 'the routes of a project are listed in the order of registration',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      for (const n of [3, 1, 2]) await router.registerRoute(numbered(target, n));
      await router.registerRoute(numbered(target, 4, { projectId: 'project-2' }));
      // An update changes nothing of the order.
      await router.updateRoute((await router.getRoute('deploy-3')).routeId, { subdomain: 'app-5' });
      const ids = routes => routes.map(info => info.deploymentId);
      assert.deepEqual(ids(await router.listRoutes('project-1')), ['deploy-3', 'deploy-1', 'deploy-2']);
      assert.deepEqual(ids(await router.listRoutes('project-2')), ['deploy-4']);
      assert.deepEqual(await router.listRoutes('project-3'), []);
    },
  },
  {
    name: 'all routes are listed in the order of registration',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      assert.deepEqual(router.getAllRoutes(), []);
      for (const n of [3, 1, 2]) await router.registerRoute(numbered(target, n, { projectId: `project-${n}` }));
      assert.deepEqual(router.getAllRoutes().map(info => info.deploymentId), ['deploy-3', 'deploy-1', 'deploy-2']);
    },
  },
  {
    name: 'of concurrent registrations of one deployment one wins',
    async check(t, make) {
      const router = await make();
      const targets = await Promise.all(Array.from({ length: 8 }, (_, n) => startTarget(t, `t${n}`)));
      const all = await Promise.allSettled(
        targets.map((target, n) => router.registerRoute(route(target, { subdomain: `app-${n}` }))),
      );
      const won = all.findIndex(result => result.status === 'fulfilled');
      const lost = all.filter(result => result.status === 'rejected');
      assert.equal(lost.length, targets.length - 1);
      for (const { reason } of lost) assert.equal(reason.message, 'Route already exists for deployment deploy-1');
      assert.equal((await ask(all[won].value.publicUrl)).body, `t${won} /`);
      assert.equal((await router.listRoutes('project-1')).length, 1);
    },
  },
  {
    name: 'fifty concurrent registrations are all there',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      const numbers = Array.from({ length: 50 }, (_, n) => n);
      const all = await Promise.all(numbers.map(n => router.registerRoute(numbered(target, n))));
      assert.equal(new Set(all.map(info => info.routeId)).size, 50);
      assert.equal((await router.listRoutes('project-1')).length, 50);
      for (const info of all) {
        assert.equal((await router.getRoute(info.deploymentId)).routeId, info.routeId);
        assert.equal((await ask(`${info.publicUrl}/x`)).body, 'target /x');
      }
    },
  },
];
