// Ends that come at an awkward moment: of the program, of a close, of the other process.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { startDaemon } from './support/daemon.mjs';
import { temporary } from './support/directory.mjs';
import { ask } from './support/http.mjs';
import { LocalEdgeRouter, ProxyServer } from './support/package.mjs';
import { run, startProgram } from './support/program.mjs';
import { startTarget } from './support/target.mjs';
import { until, within } from './support/waiting.mjs';

const BEFORE = '127.0.0.1 localhost\n';

/** A hosts file, and the configuration of a router that uses it. */
async function desk(more = {}) {
  const directory = await temporary();
  const hosts = path.join(directory, 'hosts');
  await writeFile(hosts, BEFORE);
  const config = {
    strategy: 'reverse-proxy',
    baseDomain: 'mastra.test',
    proxyPort: 0,
    enableHostsFile: true,
    hosts: { path: hosts, backupDir: path.join(directory, 'backups') },
    leaseDir: path.join(directory, 'leases'),
    logRoutes: false,
    healthCheck: { path: '/' },
    ...more,
  };
  return { directory, hosts, config };
}

const route = (target, name = 'app') =>
  ({ deploymentId: name, projectId: 'p', subdomain: name, targetHost: '127.0.0.1', targetPort: target.port });

test('a name is in the hosts file once its route is registered, and gone once it is removed', async t => {
  const [target, { hosts, config }] = [await startTarget(t), await desk()];
  const router = new LocalEdgeRouter(config);
  t.after(() => router.close());
  for (let i = 0; i < 20; i++) {
    const { routeId } = await router.registerRoute(route(target));
    assert.equal(router.getHostsManager().hasEntry('app.mastra.test'), true);
    await router.updateRoute(routeId, { subdomain: 'moved' });
    assert.deepEqual(router.getHostsManager().getEntries().map(entry => entry.hostname), ['moved.mastra.test']);
    await router.removeRoute(routeId);
    assert.equal(await readFile(hosts, 'utf8'), BEFORE);
  }
});

test('a listener for one signal, made before the router, does its work to the end', async () => {
  const { hosts, config } = await desk();
  const program = await startProgram(`
    process.once('SIGTERM', async () => {
      await new Promise(resolve => setTimeout(resolve, 50));
      say('ended in order');
      await router.close();
      process.exit(5);
    });
    const router = new LocalEdgeRouter(${JSON.stringify(config)});
    await router.registerRoute(route(await listen()));
    say('ready');
  `);
  await program.hears(0);
  program.child.kill('SIGTERM');
  const { code, said } = await program.ended();
  assert.deepEqual({ code, said }, { code: 5, said: ['ready', 'ended in order'] });
  assert.equal(await readFile(hosts, 'utf8'), BEFORE);
});

test('two copies of the package do not keep each other from ending at a signal', async () => {
  const { hosts, config } = await desk();
  const program = await startProgram(`
    import { createRequire } from 'node:module';
    const require = createRequire(import.meta.url);
    const file = ${JSON.stringify(fileURLToPath(new URL('../dist/index.cjs', import.meta.url)))};
    const port = await listen();
    const routers = ['one', 'two'].map(name => {
      for (const loaded of Object.keys(require.cache)) delete require.cache[loaded];
      return [name, new (require(file).LocalEdgeRouter)(${JSON.stringify(config)})];
    });
    for (const [name, router] of routers) await router.registerRoute(route(port, name));
    say(routers[0][1].constructor !== routers[1][1].constructor);
  `);
  assert.equal(await program.hears(0), true);
  program.child.kill('SIGTERM');
  const { code, signal } = await program.ended();
  assert.deepEqual({ code, signal }, { code: null, signal: 'SIGTERM' });
  assert.equal(await readFile(hosts, 'utf8'), BEFORE);
});

for (const [what, text] of Object.entries({
  'that nobody waits for': 'router.close(); process.exit(0);',
  'that waits for a stream': `
    server.removeAllListeners('request');
    server.on('request', (request, response) => response.write('begun'));
    const { port: proxy } = new URL(publicUrl);
    const [answer] = await once(http.get({ host: '127.0.0.1', port: proxy, headers: { host: 'app.mastra.test' } }), 'response');
    answer.on('error', () => {});
    await once(answer, 'data');
    router.close();
    setImmediate(() => process.exit(0));`,
})) {
  test(`a close ${what} leaves nothing when the program exits`, async () => {
    const { hosts, config } = await desk();
    const { code, errors } = await run(`
      const port = await listen();
      const router = new LocalEdgeRouter(${JSON.stringify(config)});
      const { publicUrl } = await router.registerRoute(route(port, 'app'));
      ${text}
    `);
    assert.equal(code, 0, errors);
    assert.equal(await readFile(hosts, 'utf8'), BEFORE);
  });
}

test('what is asked for while the router is closed is refused, not half done', async t => {
  const [target, { hosts, config }] = [await startTarget(t, 'slow', { health: 200 }), await desk()];
  for (let i = 0; i < 20; i++) {
    const router = new LocalEdgeRouter(config);
    await router.registerRoute(route(target, 'first'));
    const asked = [router.registerRoute(route(target, 'second')), router.allocatePort()];
    const closed = router.close();
    for (const outcome of await Promise.allSettled(asked)) {
      if (outcome.status === 'rejected') assert.equal(outcome.reason.code, 'ROUTER_CLOSED');
    }
    await closed;
    assert.equal(await readFile(hosts, 'utf8'), BEFORE);
  }
});

test('a saved route is served once it is asked for after a restart', async t => {
  const target = await startTarget(t);
  const { directory, config } = await desk({ enableHostsFile: false, baseDomain: 'localhost', healthCheck: { path: '/health' } });
  const saved = { ...config, stateDir: path.join(directory, 'state') };
  const first = new LocalEdgeRouter(saved);
  const { routeId } = await first.registerRoute(route(target));
  await first.close();
  for (const look of [router => router.getRoute('app'), async router => (await router.listRoutes('p'))[0], router => router.updateRoute(routeId, { targetPort: target.port })]) {
    const router = new LocalEdgeRouter(saved);
    const info = await look(router);
    assert.equal(info.routeId, routeId);
    assert.equal((await ask(`${info.publicUrl}/x`)).body, 'target /x');
    await router.stopProxy();
    await router.getRoute('app');
    assert.equal(router.isProxyRunning(), false, 'a proxy that was stopped stays so');
    await router.close();
  }
});

test('when the other process ends, readers end, and listeners hear of the one in its place', async t => {
  const target = await startTarget(t);
  const first = await startDaemon(t);
  const router = await LocalEdgeRouter.connect({ home: first.home, logRoutes: false });
  t.after(() => router.close());
  const heard = [];
  router.on('route', event => heard.push(event.change));
  router.on('request', event => heard.push(event.status));
  const [reader, requests] = [router.events('route'), router.events('request')];
  const pending = [reader.next(), requests.next()];
  first.child.kill('SIGKILL');
  await within('the ends of the readers', Promise.all(pending).then(ends => assert.deepEqual(ends.map(end => end.done), [true, true])));
  await until('its end', () => first.child.signalCode);
  await assert.rejects(router.getRoute('app'), { code: 'ROUTER_UNREACHABLE' });
  await startDaemon(t, { home: first.home });
  // The listeners are there again some time after the router is; a change tells that they are.
  await until('an event of the new router', async () => {
    const { routeId, publicUrl } = await router.registerRoute(route(target));
    await ask(publicUrl);
    await router.removeRoute(routeId);
    return heard.includes('registered') && heard.includes(200);
  });
});

test('a router that does not answer is not waited for without end', async t => {
  const daemon = await startDaemon(t);
  const router = await LocalEdgeRouter.connect({ home: daemon.home, logRoutes: false });
  daemon.child.kill('SIGSTOP');
  try {
    assert.throws(() => router.getAllRoutes(), { code: 'ROUTER_UNREACHABLE' });
    assert.throws(() => router.on('route', () => {}), { code: 'ROUTER_UNREACHABLE' });
    assert.equal(router.isProxyRunning(), false);
  } finally {
    daemon.child.kill('SIGCONT');
  }
  await until('the router', () => router.isProxyRunning());
  await router.close();
});

test('more threads than anybody needs are refused', () => {
  for (const threads of [0, 257, 100_000, 4_294_967_295]) {
    assert.throws(() => new LocalEdgeRouter({ proxy: { threads } }), { code: 'INVALID_CONFIG' });
    assert.throws(() => new ProxyServer({ port: 0, threads }), { code: 'INVALID_CONFIG' });
  }
});
