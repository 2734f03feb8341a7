// Real projects under `mastra-router run`: reached at their name, and gone with all they have started, however it ends.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { waitFor } from './support/process.mjs';
import { answer, projects, write } from './support/projects.mjs';
import { startBackground, startRun } from './support/running.mjs';

const patient = { timeout: 300_000 };
const only = process.env.E2E_PROJECTS?.split(',');
const chosen = projects.filter(project => !only || only.includes(project.name));

describe('a project under run', { concurrency: 2 }, () => chosen.forEach(describeProject));

function describeProject(project) {
  describe(project.name, { concurrency: 1, skip: project.skip }, () => {
    let router, place, running;
    const { name } = project;

    before(async () => {
      router = await startBackground();
      place = await write(project);
    }, patient);
    afterEach(async () => {
      await running?.stop();
    });
    after(async () => {
      await router?.stop();
      await place?.remove();
    }, patient);

    /** Started, answering, and with its stream or socket open. */
    async function bring(t, options) {
      const began = performance.now();
      running = await startRun(router, name, project, place.directory, options);
      await running.look();
      await answer(project, running);
      const live = await project.live?.(running);
      const { processes, sockets } = await running.look();
      assert.ok(processes > 0 && sockets.length > 0, 'nothing is seen of it, so that its end would not be either');
      assert.deepEqual(sockets.filter(socket => !socket.isLocal), [], 'other machines can reach it');
      t.diagnostic(`${processes} processes, ${sockets.length} sockets, up in ${seconds(began)} s`);
      return live;
    }

    /** Ended with one of the codes, and nothing is left. */
    async function gone(t, codes, live, began) {
      const code = await running.ended();
      t.diagnostic(`exit code ${code} after ${seconds(began)} s`);
      assert.deepEqual(running.left(), [], running.shown());
      assert.ok(codes.includes(code), `exit code ${code}: ${running.shown()}`);
      assert.equal(await router.has(name), false);
      await live?.ended;
    }

    test('has its name again after the router was killed, and ends with an interrupt', patient, async t => {
      await bring(t);
      await router.kill();
      await router.start();
      await waitFor('the route', () => router.has(name));
      await running.look();
      await answer(project, running);
      const live = await project.live?.(running);
      await running.look();
      const began = performance.now();
      await running.signal('SIGINT');
      await gone(t, project.codes, live, began);
    });

    test('ends with Ctrl-C in a terminal', patient, async t => {
      const live = await bring(t, { inTerminal: true });
      const began = performance.now();
      await running.typeCtrlC();
      await gone(t, project.codes, live, began);
    });

    test('leaves nothing after kill -9 of run and prune', patient, async t => {
      await bring(t);
      await running.signal('SIGKILL');
      await running.ended();
      await waitFor('the end of the route', async () => !(await router.has(name)));
      await pruned(t);
    });

    test('leaves nothing after kill -9 of run and the router, and prune', patient, async t => {
      await bring(t);
      await router.kill();
      await running.signal('SIGKILL');
      await running.ended();
      await pruned(t);
      await router.start();
      assert.equal(await router.has(name), false);
    });

    async function pruned(t) {
      const left = running.left();
      const began = performance.now();
      const { stdout } = await router.command('prune');
      t.diagnostic(`${left.length} were left, gone after ${seconds(began)} s`);
      assert.deepEqual(running.left(), [], stdout);
      const again = await router.command('prune');
      assert.deepEqual([again.stdout, again.stderr], ['', 'nothing is left behind\n']);
    }
  });
}

function seconds(since) {
  return ((performance.now() - since) / 1000).toFixed(1);
}
