// Real projects under `mastra-router run`: reached at their name, and gone with all they have started, however it ends.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { waitFor } from './support/process.mjs';
import { answer, projects, scratch, write } from './support/projects.mjs';
import { prunes, siteOf, startBackground, startCommand } from './support/running.mjs';

const patient = { timeout: 300_000 };
const only = process.env.E2E_PROJECTS?.split(',');
const chosen = projects.filter(project => !only || only.includes(project.name));

// Two at once, as there are processors on a small machine.
describe('a project under run', { concurrency: 2 }, () => chosen.forEach(describeProject));

function describeProject(project) {
  describe(project.name, { concurrency: 1, skip: project.skip }, () => {
    let router, place, directory, running;
    const { name } = project;

    before(async () => {
      router = await startBackground();
      place = await scratch(name);
      directory = await write(project, place.directory);
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
      running = await startCommand(router, ['run', name, '--', ...project.command], directory, options);
      const live = await see();
      const { processes, sockets } = running.look();
      assert.ok(processes > 0 && sockets.length > 0, 'nothing is seen of it, so that its end would not be either');
      assert.deepEqual(sockets.filter(socket => !socket.isLocal), [], 'other machines can reach it');
      t.diagnostic(`${processes} processes, ${sockets.length} sockets, up in ${seconds(began)} s`);
      return live;
    }

    async function see() {
      const site = await siteOf(running, router, name, directory);
      await answer(project, site);
      return project.live?.(site);
    }

    /** Ended with one of the codes, and nothing is left. */
    async function gone(t, live) {
      const began = performance.now();
      const code = await running.ended();
      t.diagnostic(`exit code ${code} after ${seconds(began)} s`);
      assert.deepEqual(running.left(), [], running.shown());
      assert.ok(project.codes.includes(code), `exit code ${code}: ${running.shown()}`);
      assert.equal(await router.has(name), false);
      await live?.ended;
    }

    test('has its name again after the router was killed, and ends with an interrupt', patient, async t => {
      await bring(t);
      await router.kill();
      await router.start();
      const live = await see();
      running.look();
      running.signal('SIGINT');
      await gone(t, live);
    });

    test('ends with Ctrl-C in a terminal', patient, async t => {
      const live = await bring(t, { inTerminal: true });
      await running.typeCtrlC();
      await gone(t, live);
    });

    test('leaves nothing after kill -9 of run and prune', patient, async t => {
      await bring(t);
      running.signal('SIGKILL');
      await running.ended();
      await waitFor('the end of the route', async () => !(await router.has(name)));
      await prunes(router, running);
    });

    test('leaves nothing after kill -9 of run and the router, and prune', patient, async t => {
      await bring(t);
      await router.kill();
      running.signal('SIGKILL');
      await running.ended();
      await prunes(router, running);
      await router.start();
      assert.equal(await router.has(name), false);
    });
  });
}

function seconds(since) {
  return ((performance.now() - since) / 1000).toFixed(1);
}
