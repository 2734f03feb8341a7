// What becomes of a deployment's URL while MastraAdmin deploys, rolls back and stops it.
import assert from 'node:assert/strict';

import { MastraAdmin } from '@mastra/admin';
import { PostgresAdminStorage } from '@mastra/admin-pg';
import { LocalEdgeRouter } from '@mastra/router-local';
import { LocalProcessRunner } from '@mastra/runner-local';

import '../examples/with-mastra-admin.js';

const [ofExample] = MastraAdmin.made;
assert.ok(ofExample, 'the example made one');
const deployed = await ofExample.router.getRoute('deployment-456');
assert.ok(deployed, 'and deployed');
assert.equal(await answerOf(deployed.publicUrl), 'build-1');
await lifecycle(ofExample, { sameUrl: false });

await using router = new LocalEdgeRouter({ strategy: 'reverse-proxy', proxyPort: 0 });
const behindOnePort = new MastraAdmin({
  licenseKey: '',
  storage: new PostgresAdminStorage({ connectionString: '' }),
  runner: new LocalProcessRunner({ workDir: '' }),
  router,
});
const first = await behindOnePort.deploy('user-123', 'deployment-456');
assert.match(first.publicUrl, /^http:\/\/localhost:\d+\/job-matcher$/);
assert.equal(await answerOf(first.publicUrl), 'build-1');
await lifecycle(behindOnePort, { sameUrl: true });
const gone = await fetch(first.publicUrl);
assert.equal(gone.status, 404, 'the URL of a deployment that was stopped');

/** Takes over a deployment whose first build runs. */
async function lifecycle(admin: MastraAdmin, { sameUrl }: { sameUrl: boolean }): Promise<void> {
  const before = await admin.router.getRoute('deployment-456');
  assert.ok(before);

  const second = await admin.deploy('user-123', 'deployment-456');
  assert.equal(await answerOf(second.publicUrl), 'build-2', 'redeployed');
  assert.equal(second.publicUrl === before.publicUrl, sameUrl);

  const back = await admin.rollback('user-123', 'deployment-456', 'build-1');
  assert.equal(await answerOf(back.publicUrl), 'build-1', 'rolled back');

  await assert.rejects(admin.registerAgain('deployment-456'), (error: Error) => {
    assert.equal(error.message, 'Route already exists for deployment deployment-456');
    return true;
  });
  assert.equal(await answerOf(back.publicUrl), 'build-1', 'the route that was there still leads where it did');

  const after = await admin.router.getRoute('deployment-456');
  assert.equal(after?.routeId, before.routeId, 'one route all the time');
  assert.deepEqual(after?.createdAt, before.createdAt);
  assert.deepEqual((await admin.router.listRoutes('project-1')).map(route => route.routeId), [before.routeId]);

  await admin.stop('user-123', 'deployment-456');
  assert.equal(await admin.router.getRoute('deployment-456'), null, 'stopped by the id of the deployment');
  await admin.stop('user-123', 'deployment-456');
}

async function answerOf(url: string): Promise<string> {
  const answer = await fetch(url);
  assert.equal(answer.status, 200, url);
  return answer.text();
}
