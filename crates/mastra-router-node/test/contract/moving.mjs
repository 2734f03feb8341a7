// Updating and removing.
import assert from 'node:assert/strict';

import { ask, open, readUntil } from '../support/http.mjs';
import { DEAD_PORT, startTarget } from '../support/target.mjs';
import { numbered, PROXIED, route } from './fixture.mjs';

export const moving = [
  {
    name: 'a redeploy with all five fields moves the traffic',
    async check(t, make) {
      const router = await make();
      const [old, fresh] = [await startTarget(t, 'old'), await startTarget(t, 'new')];
      const before = await router.registerRoute(route(old));
      const moved = await router.updateRoute(before.routeId, route(fresh));
      assert.equal(moved.routeId, before.routeId);
      assert.equal(moved.createdAt.getTime(), before.createdAt.getTime());
      assert.equal(moved.status, 'active');
      assert.equal((await ask(`${moved.publicUrl}/x`)).body, 'new /x');
      const renamed = route(fresh, { deploymentId: 'deploy-2', projectId: 'project-2', subdomain: 'shop' });
      const { publicUrl, routeId } = await router.updateRoute(before.routeId, renamed);
      assert.equal(routeId, before.routeId);
      assert.equal((await ask(`${publicUrl}/x`)).body, 'new /x');
      assert.equal(await router.getRoute('deploy-1'), null);
      assert.equal((await router.getRoute('deploy-2')).publicUrl, publicUrl);
      assert.deepEqual(await router.listRoutes('project-1'), []);
      assert.equal((await router.listRoutes('project-2')).length, 1);
    },
  },
  {
    name: 'a request in flight finishes on the old target',
    kinds: PROXIED,
    async check(t, make) {
      const router = await make();
      const [old, fresh] = [await startTarget(t, 'old'), await startTarget(t, 'new')];
      const { publicUrl, routeId } = await router.registerRoute(route(old));
      const stream = await open(`${publicUrl}/stream`);
      await readUntil(stream, 'data: old\n\n');
      await router.updateRoute(routeId, route(fresh));
      assert.equal((await ask(publicUrl)).body, 'new /');
      old.streams[0].write('data: after the move\n\n');
      await readUntil(stream, 'data: after the move\n\n');
      await router.removeRoute(routeId);
      old.streams[0].end('data: the end\n\n');
      await readUntil(stream, 'data: the end\n\n');
    },
  },
  {
    name: 'a rollback moves the traffic back',
    async check(t, make) {
      const router = await make();
      const [old, fresh] = [await startTarget(t, 'old'), await startTarget(t, 'new')];
      const { routeId } = await router.registerRoute(route(old));
      for (const target of [fresh, old, fresh, old]) {
        const { publicUrl, status } = await router.updateRoute(routeId, route(target));
        assert.equal((await ask(publicUrl)).body, `${target.name} /`);
        assert.equal(status, 'active');
      }
    },
  },
  {
    name: 'an update of one field keeps the others',
    async check(t, make) {
      const router = await make();
      const [old, fresh] = [await startTarget(t, 'old'), await startTarget(t, 'new')];
      const { routeId } = await router.registerRoute(route(old));
      const moved = await router.updateRoute(routeId, { targetPort: fresh.port });
      assert.equal((await ask(`${moved.publicUrl}/x`)).body, 'new /x');
      await router.updateRoute(routeId, { projectId: 'project-2' });
      const [listed] = await router.listRoutes('project-2');
      assert.equal(listed.deploymentId, 'deploy-1');
      assert.equal(listed.publicUrl, moved.publicUrl);
      assert.equal((await router.updateRoute(routeId, {})).publicUrl, moved.publicUrl);
    },
  },
  {
    name: 'an update of a route that is not there fails',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      await router.registerRoute(route(target));
      for (const id of ['route_0', 'deploy-1', 'app', '']) {
        const update = router.updateRoute(id, { targetPort: target.port });
        await assert.rejects(update, { code: 'ROUTE_NOT_FOUND', message: `Route not found: ${id}` });
      }
    },
  },
  {
    name: 'a route that moves to a dead port does not stay active',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      const { routeId, status } = await router.registerRoute(route(target));
      assert.equal(status, 'active');
      assert.equal((await router.updateRoute(routeId, route(DEAD_PORT))).status, 'pending');
      assert.equal((await router.getRoute('deploy-1')).status, 'pending');
      assert.equal((await router.updateRoute(routeId, route(target))).status, 'active');
    },
  },
  {
    name: 'a route is removed by its id',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      const { routeId } = await router.registerRoute(numbered(target, 1));
      const other = await router.registerRoute(numbered(target, 2));
      await router.removeRoute(routeId);
      assert.equal(await router.getRoute('deploy-1'), null);
      assert.equal((await ask(other.publicUrl)).body, 'target /');
      // What it had is free again.
      const again = await router.registerRoute(numbered(target, 1));
      assert.notEqual(again.routeId, routeId);
      assert.equal((await ask(again.publicUrl)).body, 'target /');
    },
  },
  {
    name: 'a route is removed by its deployment',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      await router.registerRoute(numbered(target, 1));
      await router.registerRoute(numbered(target, 2));
      await router.removeRoute('deploy-1');
      assert.equal(await router.getRoute('deploy-1'), null);
      assert.notEqual(await router.getRoute('deploy-2'), null);
      // A name is neither: it may be another deployment's.
      await router.removeRoute('app-2');
      assert.notEqual(await router.getRoute('deploy-2'), null);
    },
  },
  {
    name: 'a removed route does not answer any more',
    kinds: PROXIED,
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      const { publicUrl, routeId } = await router.registerRoute(route(target));
      await router.removeRoute(routeId);
      assert.equal((await ask(publicUrl)).status, 404);
      assert.deepEqual(target.requests, []);
    },
  },
  {
    name: 'removing what is not there is no error',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      const { routeId } = await router.registerRoute(numbered(target, 1));
      await router.registerRoute(numbered(target, 2));
      for (const id of ['route_0', 'nothing', '', routeId, routeId, 'deploy-1']) await router.removeRoute(id);
      assert.equal((await router.listRoutes('project-1')).length, 1);
    },
  },
  {
    name: 'clearing removes all routes',
    async check(t, make) {
      const [router, target] = [await make(), await startTarget(t)];
      for (const n of [1, 2, 3]) await router.registerRoute(numbered(target, n));
      router.clearRoutes();
      assert.deepEqual(router.getAllRoutes(), []);
      assert.deepEqual(await router.listRoutes('project-1'), []);
      assert.equal(await router.getRoute('deploy-1'), null);
      assert.equal((await ask((await router.registerRoute(numbered(target, 1))).publicUrl)).body, 'target /');
    },
  },
  {
    name: 'an orchestrator deploys redeploys rolls back and stops',
    async check(t, make) {
      const router = await make();
      const [first, second] = [await startTarget(t, 'first'), await startTarget(t, 'second')];
      // The order in which MastraAdmin calls a router, and all that it calls.
      const deploy = async target => {
        const there = await router.getRoute('deploy-1');
        if (there) return router.updateRoute(there.routeId, route(target));
        return router.registerRoute(route(target));
      };
      const answers = async () => (await ask((await router.getRoute('deploy-1')).publicUrl)).body;
      const { routeId } = await deploy(first);
      assert.equal(await answers(), 'first /');
      assert.equal((await deploy(second)).routeId, routeId);
      assert.equal(await answers(), 'second /');
      assert.equal((await deploy(first)).routeId, routeId);
      assert.equal(await answers(), 'first /');
      await router.removeRoute('deploy-1');
      assert.equal(await router.getRoute('deploy-1'), null);
      assert.notEqual((await deploy(second)).routeId, routeId);
      assert.equal(await answers(), 'second /');
    },
  },
];
