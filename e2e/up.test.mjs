// The same projects under `mastra-router up`: all of them at once, each at its name, and all gone with what they have started.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';

import { waitFor } from './support/process.mjs';
import { answer, projects, scratch, write } from './support/projects.mjs';
import { hasCommand, prunes, siteOf, startBackground, startCommand } from './support/running.mjs';

const patient = { timeout: 300_000 };
/** The code of `up` when it was interrupted, whatever its apps end with. */
const INTERRUPTED = 130;

const only = process.env.E2E_PROJECTS?.split(',');
// Of the two ways to run the Mastra application, the one that needs no build.
const chosen = projects.filter(({ name, skip }) => (only ? only.includes(name) : name !== 'mastra-built') && !skip);
const quick = chosen.filter(({ name }) => only || !name.startsWith('mastra'));

describe('projects under up', { skip: (await hasCommand('up')) ? false : 'this mastra-router has no up' }, () => {
  let router, root, running;
  const directories = new Map();

  before(async () => {
    router = await startBackground();
    root = await scratch('up');
    for (const project of chosen) directories.set(project.name, await write(project, root.directory));
    const tables = chosen.map(({ name, command }) => {
      const dir = path.relative(root.directory, directories.get(name));
      return `[apps.${name}]\ncommand = ${JSON.stringify(command)}\ndir = ${JSON.stringify(dir)}\n`;
    });
    // Whichever checkout this is, the names are those of the table.
    const file = ['[run]\nbranch = "{name}"\n', ...tables].join('\n');
    await writeFile(path.join(root.directory, 'mastra-router.toml'), file);
  }, patient);
  afterEach(async () => {
    await running?.stop();
  });
  after(async () => {
    await router?.stop();
    await root?.remove();
  }, patient);

  /** All started, answering, and with their streams and sockets open. */
  async function bring(t, apps, options) {
    const began = performance.now();
    const names = apps === chosen ? [] : apps.map(({ name }) => name);
    running = await startCommand(router, ['up', ...names], root.directory, options);
    const live = await see(apps);
    const { processes, sockets } = running.look();
    assert.ok(processes >= apps.length && sockets.length >= apps.length, `${processes} processes`);
    assert.deepEqual(sockets.filter(socket => !socket.isLocal), [], 'other machines can reach it');
    t.diagnostic(`${processes} processes, ${sockets.length} sockets, up in ${((performance.now() - began) / 1000).toFixed(1)} s`);
    return live;
  }

  function see(apps) {
    return Promise.all(
      apps.map(async project => {
        const site = await siteOf(running, router, project.name, directories.get(project.name));
        await answer(project, site);
        return project.live?.(site);
      }),
    );
  }

  async function noRoutes() {
    for (const { name } of chosen) if (await router.has(name)) return false;
    return true;
  }

  async function gone(live) {
    const code = await running.ended();
    assert.deepEqual(running.left(), [], running.shown());
    assert.equal(code, INTERRUPTED, running.shown());
    assert.ok(await noRoutes());
    await Promise.all(live.map(each => each?.ended));
  }

  test('have their names again after the router was killed, and end with an interrupt', patient, async t => {
    await bring(t, chosen);
    await router.kill();
    await router.start();
    const live = await see(chosen);
    running.look();
    running.signal('SIGINT');
    await gone(live);
  });

  test('end with Ctrl-C in a terminal', patient, async t => {
    const live = await bring(t, quick, { inTerminal: true });
    await running.typeCtrlC();
    await gone(live);
  });

  test('leave nothing after kill -9 of up and prune', patient, async t => {
    await bring(t, quick);
    running.signal('SIGKILL');
    await running.ended();
    await waitFor('the end of the routes', noRoutes);
    await prunes(router, running);
  });

  test('leave nothing after kill -9 of up and the router, and prune', patient, async t => {
    await bring(t, quick);
    await router.kill();
    running.signal('SIGKILL');
    await running.ended();
    await prunes(router, running);
    await router.start();
    assert.ok(await noRoutes());
  });
});
