// What a router leaves behind, and whom it keeps alive: nothing, and nobody.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';

import { temporary } from './support/directory.mjs';
import { HostsManager, LocalEdgeRouter, PortManager } from './support/package.mjs';
import { run, startProgram } from './support/program.mjs';

const isTaken = port =>
  new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('connect', () => resolve(true) ?? socket.destroy());
    socket.on('error', () => resolve(false));
  });

for (const strategy of ['port-mapping', 'reverse-proxy']) {
  test(`a program with a route, periodic checks and a listener ends when its own work is done (${strategy})`, async () => {
    const { code, said } = await run(`
      const port = await listen();
      const router = new LocalEdgeRouter({
        strategy: '${strategy}', proxyPort: 0, healthCheck: { path: '/', intervalMs: 20 }, logRoutes: false,
      });
      router.on('route', () => {});
      router.on('request', () => {});
      const { publicUrl } = await router.registerRoute(route(port));
      router.startHealthChecking();
      let checks = 0;
      await new Promise(enough => router.on('health', () => ++checks > 2 && enough()));
      say(await (await fetch(publicUrl)).text());
      server.close();
      server.closeAllConnections();
    `);
    assert.deepEqual({ code, said }, { code: 0, said: ['ok'] });
  });
}

test('a proxy that was started keeps no program alive, and nor does a reader of events', async () => {
  const { code, said } = await run(`
    const router = new LocalEdgeRouter({ strategy: 'reverse-proxy', proxyPort: 0, logRoutes: false });
    await router.startProxy();
    const proxy = new ProxyServer({ port: 0, logRequests: true });
    await proxy.start();
    router.events().next();
    say(router.isProxyRunning() && proxy.isRunning());
  `);
  assert.deepEqual({ code, said }, { code: 0, said: [true] });
});

test('ref keeps a program alive, until unref or close', async () => {
  const program = await startProgram(`
    const router = new LocalEdgeRouter({ logRoutes: false }).ref();
    const held = process.getActiveResourcesInfo().length;
    router.unref();
    const free = process.getActiveResourcesInfo().length;
    router.ref();
    process.once('SIGUSR2', () => router.close());
    say(held - free);
  `);
  assert.equal(await program.hears(0), 1);
  assert.equal(program.child.exitCode, null);
  program.child.kill('SIGUSR2');
  assert.equal((await program.ended()).code, 0);
});

test('1,000 routers that are made and closed leave no thread, descriptor, handle or memory', async () => {
  const { code, said, errors } = await run(
    `
    import { readdirSync } from 'node:fs';
    const port = await listen();
    const count = () => ({
      threads: readdirSync('/proc/self/task').length,
      descriptors: readdirSync('/proc/self/fd').length,
      handles: process.getActiveResourcesInfo().length,
    });
    const use = async i => {
      const router = new LocalEdgeRouter({
        strategy: i % 2 ? 'reverse-proxy' : 'port-mapping', proxyPort: 0, logRoutes: false, healthCheck: { path: '/' },
      });
      router.on('route', () => {});
      router.on('request', () => {});
      await router.registerRoute(route(port));
      router.startHealthChecking();
      await router.close();
    };
    const settled = async limit => {
      // Threads for work that blocks end a second after it.
      for (let tries = 0; tries < 200; tries++) {
        const now = count();
        if (Object.keys(now).every(key => now[key] <= limit[key])) return now;
        await new Promise(resolve => setTimeout(resolve, 50));
      }
      return count();
    };
    const memory = () => { gc(); gc(); const m = process.memoryUsage(); return { heap: m.heapUsed + m.external, all: m.rss }; };
    for (let i = 0; i < 100; i++) await use(i);
    const before = await settled({ threads: 0, descriptors: 0, handles: 0 }).then(count);
    const small = memory();
    for (let i = 0; i < 1000; i++) await use(i);
    const after = await settled(before);
    const large = memory();
    say({ before, after, heap: (large.heap - small.heap) / 2 ** 20, all: (large.all - small.all) / 2 ** 20 });
    server.close();
    server.closeAllConnections();
  `,
    { args: ['--expose-gc'] },
  );
  assert.equal(code, 0, errors);
  const [{ before, after, heap, all }] = said;
  for (const what of Object.keys(before)) assert.ok(after[what] <= before[what], `${what}: ${JSON.stringify(said)}`);
  assert.ok(heap < 2, `${heap} MiB more of JavaScript after 1,000 routers`);
  // The allocator keeps some of what it had; what is kept for each router would show.
  assert.ok(all < 64, `${all} MiB more after 1,000 routers`);
});

test('a router that is not closed serves on, whether the program keeps it or not', async () => {
  const { said, code } = await run(
    `
    const port = await listen();
    const urls = [];
    for (let i = 0; i < 5; i++) {
      const router = new LocalEdgeRouter({ strategy: 'reverse-proxy', proxyPort: 0, logRoutes: false });
      urls.push((await router.registerRoute(route(port))).publicUrl);
    }
    for (let i = 0; i < 10; i++) { gc(); await new Promise(setImmediate); }
    say(await Promise.all(urls.map(async url => (await fetch(url)).status)));
    process.exit();
  `,
    { args: ['--expose-gc'] },
  );
  assert.deepEqual({ code, said }, { code: 0, said: [[200, 200, 200, 200, 200]] });
});

// Each ends without close. `text` is the end of the program, which says where its proxy listens.
const ENDS = {
  'by itself': { text: 'server.close(); server.closeAllConnections();', code: 0 },
  'with process.exit': { text: 'process.exit(3);', code: 3 },
  'with an error that nobody catches': { text: "setImmediate(() => { throw new Error('deliberate'); });", code: 1 },
  'with a promise that nobody catches': { text: "Promise.reject(new Error('deliberate'));", code: 1 },
  'by SIGTERM': { text: '', kill: 'SIGTERM' },
  'by SIGINT': { text: '', kill: 'SIGINT' },
  'by SIGHUP': { text: '', kill: 'SIGHUP' },
  'by a SIGINT that it handles': { text: "process.on('SIGINT', () => process.exit(7));", kill: 'SIGINT', code: 7 },
};

for (const [how, { text, code = null, kill }] of Object.entries(ENDS)) {
  test(`a program that ends ${how} leaves no line in the hosts file, no port and no lease`, async () => {
    const { hosts, config, before, leases } = await desk();
    const program = await startProgram(`
      const port = await listen();
      const router = new LocalEdgeRouter(${config});
      const { publicUrl } = await router.registerRoute(route(port));
      say({ proxy: Number(new URL(publicUrl).port), leased: await router.allocatePort() });
      ${text}
    `);
    const { proxy, leased } = await program.hears(0);
    if (kill) program.child.kill(kill);
    const end = await program.ended();
    assert.deepEqual([end.code, end.signal], code === null ? [null, kill] : [code, null], end.errors);
    assert.equal(await readFile(hosts, 'utf8'), before);
    assert.equal(await isTaken(proxy), false);
    assert.equal(await new PortManager({ start: leased, end: leased, leaseDir: leases }).reserve(leased), true);
  });
}

test('lines of a router that was killed go with the next change of another', async t => {
  const { hosts, config, before, backups } = await desk();
  const program = await startProgram(`
    const router = new LocalEdgeRouter(${config});
    await router.registerRoute(route(await listen()));
    say('registered');
  `);
  await program.hears(0);
  program.child.kill('SIGKILL');
  await program.ended();
  assert.match(await readFile(hosts, 'utf8'), /shop\.mastra\.test/);
  const router = new LocalEdgeRouter({ ...JSON.parse(config), logRoutes: false });
  t.after(() => router.close());
  await router.registerRoute({ deploymentId: 'd', projectId: 'p', subdomain: 'api', targetHost: 'localhost', targetPort: 1 });
  const now = await readFile(hosts, 'utf8');
  assert.match(now, /api\.mastra\.test/);
  assert.doesNotMatch(now, /shop\.mastra\.test/);
  assert.deepEqual(new HostsManager({ hostsPath: hosts, backupDir: backups }).getEntries(), [
    { hostname: 'api.mastra.test', ip: '127.0.0.1' },
  ]);
  await router.close();
  assert.equal(await readFile(hosts, 'utf8'), before);
});

test('a worker that is terminated takes its routers with it, and the program goes on', async () => {
  const { hosts, config, before } = await desk();
  const { code, said, errors } = await run(`
    import { Worker } from 'node:worker_threads';
    import { readFileSync } from 'node:fs';
    import net from 'node:net';
    const port = await listen();
    const source = \`
      const { parentPort, workerData } = require('node:worker_threads');
      const { LocalEdgeRouter } = require(workerData.package);
      (async () => {
        const router = new LocalEdgeRouter(workerData.config);
        const { publicUrl } = await router.registerRoute({
          deploymentId: 'd', projectId: 'p', subdomain: 'shop', targetHost: '127.0.0.1', targetPort: workerData.port,
        });
        router.on('request', () => {});
        router.ref();
        parentPort.postMessage(publicUrl);
      })();
    \`;
    const config = ${config};
    const own = new LocalEdgeRouter({ ...config, enableHostsFile: false, strategy: 'reverse-proxy' });
    const { publicUrl } = await own.registerRoute(route(port, 'own'));
    for (let i = 0; i < 3; i++) {
      const worker = new Worker(source, {
        eval: true,
        execArgv: [],
        workerData: { package: ${JSON.stringify(new URL('../dist/index.cjs', import.meta.url).pathname)}, config, port },
      });
      const [url] = await once(worker, 'message');
      const written = readFileSync(config.hosts.path, 'utf8').includes('shop.mastra.test');
      await worker.terminate();
      const left = readFileSync(config.hosts.path, 'utf8').includes('shop.mastra.test');
      const socket = net.connect(new URL(url).port, '127.0.0.1');
      const outcome = await once(socket, 'connect').then(() => 'open', () => 'closed');
      socket.destroy();
      say([written, left, outcome]);
    }
    const served = net.connect(new URL(publicUrl).port, '127.0.0.1');
    await once(served, 'connect');
    served.destroy();
    say('served');
    process.exit();
  `);
  assert.deepEqual(said, [...Array(3).fill([true, false, 'closed']), 'served'], errors);
  assert.equal(code, 0);
  assert.equal(await readFile(hosts, 'utf8'), before);
});

/** A hosts file, and the text of a configuration that uses it. */
async function desk() {
  const directory = await temporary();
  const [hosts, backups, leases] = ['hosts', 'backups', 'leases'].map(name => path.join(directory, name));
  const before = '127.0.0.1 localhost\n# the end\n';
  await writeFile(hosts, before);
  const config = JSON.stringify({
    strategy: 'reverse-proxy',
    baseDomain: 'mastra.test',
    proxyPort: 0,
    enableHostsFile: 'required',
    hosts: { path: hosts, backupDir: backups },
    leaseDir: leases,
    logRoutes: false,
    healthCheck: { path: '/' },
  });
  return { hosts, backups, leases, config, before };
}
