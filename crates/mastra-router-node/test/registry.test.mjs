// RouteRegistry: routes in memory.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { RouteRegistry } from './support/package.mjs';

function route(n, more = {}) {
  return {
    routeId: `route_${n}`,
    deploymentId: `deploy-${n}`,
    projectId: 'project-1',
    subdomain: `app-${n}`,
    targetHost: 'localhost',
    targetPort: 4000 + n,
    publicUrl: `http://localhost:${4000 + n}`,
    status: 'pending',
    tls: false,
    createdAt: new Date(),
    healthCheckFailures: 0,
    ...more,
  };
}

test('it gives back what was put in', () => {
  const registry = new RouteRegistry();
  const one = route(1);
  assert.equal(registry.add(one), undefined);
  assert.equal(registry.get('route_1'), one);
  assert.equal(registry.getByDeploymentId('deploy-1'), one);
  assert.deepEqual(registry.listByProjectId('project-1'), [one]);
  assert.deepEqual(registry.all(), [one]);
});

test('what is not there is undefined or an empty list', () => {
  const registry = new RouteRegistry();
  assert.equal(registry.get('route_1'), undefined);
  assert.equal(registry.getByDeploymentId('deploy-1'), undefined);
  assert.equal(registry.update('route_1', { subdomain: 'x' }), undefined);
  assert.deepEqual(registry.listByProjectId('project-1'), []);
  assert.deepEqual(registry.all(), []);
  assert.equal(registry.remove('route_1'), false);
  // Ids are not names of properties.
  for (const id of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    assert.equal(registry.get(id), undefined);
    assert.equal(registry.getByDeploymentId(id), undefined);
    assert.deepEqual(registry.listByProjectId(id), []);
    registry.add(route(1, { routeId: id, deploymentId: id, projectId: id }));
    assert.equal(registry.getByDeploymentId(id).routeId, id);
    assert.equal(registry.remove(id), true);
  }
});

test('an update gives the new route and leaves the old object as it was', () => {
  const registry = new RouteRegistry();
  const one = route(1);
  registry.add(one);
  const updated = registry.update('route_1', { status: 'active', targetPort: 5000, lastHealthCheck: new Date(0) });
  assert.deepEqual(updated, { ...one, status: 'active', targetPort: 5000, lastHealthCheck: new Date(0) });
  assert.equal(one.status, 'pending');
  assert.equal(registry.get('route_1'), updated);
  assert.equal(registry.getByDeploymentId('deploy-1'), updated);
  assert.deepEqual(registry.listByProjectId('project-1'), [updated]);
});

test('an update of the ids is found under the new ones only', () => {
  const registry = new RouteRegistry();
  registry.add(route(1));
  registry.update('route_1', { deploymentId: 'deploy-9', projectId: 'project-9', routeId: 'route_9' });
  assert.equal(registry.getByDeploymentId('deploy-1'), undefined);
  assert.deepEqual(registry.listByProjectId('project-1'), []);
  assert.equal(registry.getByDeploymentId('deploy-9').routeId, 'route_1');
  assert.equal(registry.listByProjectId('project-9').length, 1);
  // The id of a route is what it is known by, and stays.
  assert.equal(registry.get('route_9'), undefined);
  assert.equal(registry.remove('route_1'), true);
  assert.equal(registry.getByDeploymentId('deploy-9'), undefined);
  assert.deepEqual(registry.listByProjectId('project-9'), []);
});

test('routes of a project are listed in the order in which they were added', () => {
  const registry = new RouteRegistry();
  for (const n of [3, 1, 2]) registry.add(route(n));
  registry.add(route(4, { projectId: 'project-2' }));
  registry.update('route_3', { status: 'active' });
  assert.deepEqual(registry.listByProjectId('project-1').map(r => r.routeId), ['route_3', 'route_1', 'route_2']);
  assert.deepEqual(registry.all().map(r => r.routeId), ['route_3', 'route_1', 'route_2', 'route_4']);
  assert.equal(registry.remove('route_1'), true);
  assert.deepEqual(registry.listByProjectId('project-1').map(r => r.routeId), ['route_3', 'route_2']);
});

test('of two routes of one deployment the last is found and its removal leaves the first', () => {
  const registry = new RouteRegistry();
  registry.add(route(1));
  registry.add(route(2, { deploymentId: 'deploy-1' }));
  assert.equal(registry.getByDeploymentId('deploy-1').routeId, 'route_2');
  registry.remove('route_2');
  assert.equal(registry.getByDeploymentId('deploy-1').routeId, 'route_1');
});

test('a route with an id that is there takes its place', () => {
  const registry = new RouteRegistry();
  registry.add(route(1));
  registry.add(route(1, { deploymentId: 'deploy-2', projectId: 'project-2' }));
  assert.equal(registry.all().length, 1);
  assert.equal(registry.getByDeploymentId('deploy-1'), undefined);
  assert.deepEqual(registry.listByProjectId('project-1'), []);
  assert.equal(registry.getByDeploymentId('deploy-2').routeId, 'route_1');
});

test('clearing leaves nothing', () => {
  const registry = new RouteRegistry();
  for (const n of [1, 2]) registry.add(route(n));
  assert.equal(registry.clear(), undefined);
  assert.deepEqual(registry.all(), []);
  assert.equal(registry.get('route_1'), undefined);
  assert.equal(registry.getByDeploymentId('deploy-1'), undefined);
  assert.deepEqual(registry.listByProjectId('project-1'), []);
});

test('lists are copies', () => {
  const registry = new RouteRegistry();
  registry.add(route(1));
  registry.all().length = 0;
  registry.listByProjectId('project-1').length = 0;
  assert.equal(registry.all().length, 1);
  assert.equal(registry.listByProjectId('project-1').length, 1);
});

test('a refused route changes nothing', () => {
  const registry = new RouteRegistry();
  registry.add(route(1));
  for (const wrong of [undefined, null, 1, 'x', [], {}, route(1, { deploymentId: 1 }), route(1, { projectId: undefined })]) {
    assert.throws(() => registry.add(wrong), { name: 'EdgeRouterError', code: 'INVALID_FIELD' });
  }
  for (const wrong of [undefined, null, 1, 'x', { deploymentId: 1 }, { projectId: null }]) {
    assert.throws(() => registry.update('route_1', wrong), { name: 'EdgeRouterError', code: 'INVALID_FIELD' });
  }
  assert.equal(registry.getByDeploymentId('deploy-1').projectId, 'project-1');
  assert.equal(registry.all().length, 1);
});
