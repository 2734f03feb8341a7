// A program that calls everything with what it does not expect, and says what came of it. It is run in a process of its own,
// since what must not happen is that the process ends.
import http from 'node:http';
import { once } from 'node:events';
import path from 'node:path';

import { startDaemon } from './daemon.mjs';
import { CODES, isOurs, VALUES } from './hostile-values.mjs';
import { EdgeRouterError, HealthChecker, HostsManager, LocalEdgeRouter, PortManager, ProxyServer, RouteRegistry, TLSManager } from './package.mjs';

const [directory, which] = process.argv.slice(2);
const at = name => path.join(directory, name);
/** What a call did that it must not. */
const faults = [];
let calls = 0;
process.on('unhandledRejection', error => faults.push(`an unhandled rejection: ${error?.stack ?? error}`));

const server = http.createServer((_request, response) => response.end('ok')).listen(0, '127.0.0.1');
await once(server, 'listening');
const targetPort = server.address().port;

const route = { deploymentId: 'd', projectId: 'p', subdomain: 'app', targetHost: '127.0.0.1', targetPort };
const proxied = { routeId: 'r', subdomain: 'app', targetHost: '127.0.0.1', targetPort };
const local = { ...proxied, deploymentId: 'd', projectId: 'p', publicUrl: '', status: 'active', tls: false, createdAt: new Date(), healthCheckFailures: 0 };
const routerConfig = {
  strategy: 'reverse-proxy', baseDomain: 'localhost', portRange: { start: 24_000, end: 24_010 }, proxyPort: 0,
  healthCheck: { path: '/health', intervalMs: 3_600_000, timeoutMs: 1_000, failureThreshold: 3 }, enableHostsFile: false,
  hosts: { path: at('hosts'), backupDir: at('backups') }, enableTls: false, tls: { certDir: at('certs'), validityDays: 30 }, logRoutes: false,
  localhostUrls: 'path', listen: [], allowRemoteTargets: false, stateDir: undefined, leaseDir: at('ports'),
  proxy: { threads: 1, restartGraceMs: 0, startTimeoutMs: 0, connectTimeoutMs: 1_000, drainTimeoutMs: 10, maxConnections: 100 },
};
const proxyConfig = { port: 0, baseDomain: 'localhost', tls: false, certDir: at('certs'), logRequests: false, timeout: 1_000, restartGraceMs: 0, drainTimeoutMs: 10, threads: 1 };
const hostsConfig = { hostsPath: at('hosts'), backupDir: at('backups'), logChanges: false };
const tlsConfig = { certDir: at('certs'), validityDays: 30, organization: 'Acme', logChanges: false, baseDomains: ['local'] };
const portsConfig = { start: 24_100, end: 24_110, leaseDir: at('ports') };
const healthConfig = { path: '/health', timeoutMs: 1_000, failureThreshold: 3 };

/** Calls something; an error has to be one of ours, or one that the value threw. */
async function attempt(what, call) {
  calls += 1;
  try {
    return await call();
  } catch (error) {
    const known = error instanceof EdgeRouterError && CODES.has(error.code);
    if (!known && !isOurs(error)) faults.push(`${what}: ${error?.name} ${error?.code ?? ''} ${error?.message ?? String(error)}`.slice(0, 200));
  }
}

/** What takes one value: it is called with each. */
async function each(what, call) {
  for (const [name, value] of VALUES) await attempt(`${what}(${name})`, () => call(value));
}

/** What takes an object: it is also called with good ones, of which one field is each of the values. */
async function eachField(what, good, call) {
  await each(what, call);
  for (const key of Object.keys(good)) {
    for (const [name, value] of VALUES) await attempt(`${what}({ ${key}: ${name} })`, () => call({ ...good, [key]: value }));
    await attempt(`${what} with a throwing ${key}`, () => call({ ...good, get [key]() { throw new RangeError('a getter of the test'); } }));
    const { [key]: _, ...without } = good;
    await attempt(`${what} without ${key}`, () => call(without));
    for (const inner of Object.keys(typeof good[key] === 'object' && good[key] ? good[key] : {})) {
      for (const [name, value] of VALUES) await attempt(`${what}({ ${key}.${inner}: ${name} })`, () => call({ ...good, [key]: { ...good[key], [inner]: value } }));
    }
  }
}

/** All methods of a router that take something. */
async function routerMethods(router) {
  // A registration that is taken is undone, so that the next is looked at as it is.
  const undone = async info => void (info?.routeId && (await router.removeRoute(info.routeId)));
  const keep = await router.registerRoute({ ...route, deploymentId: 'keep', subdomain: 'keep' }).catch(() => undefined);
  await eachField('registerRoute', { ...route, tls: false, targetScheme: 'http', pathPrefix: '/x', stripPrefix: true, healthPath: '/h', wildcard: false, waitHealthy: false }, async given => undone(await router.registerRoute(given)));
  await each('updateRoute id', value => router.updateRoute(value, {}));
  await eachField('updateRoute', route, value => router.updateRoute(keep?.routeId ?? 'x', value));
  for (const method of ['getRoute', 'listRoutes', 'checkRouteHealth', 'releasePort', 'on', 'once', 'off', 'events']) await each(method, value => router[method](value));
  // A listener that is one is taken off again: what it throws when it is called is its own.
  await each('on listener', value => router.on('route', value).off('route', value));
  await each('once listener', value => router.once('route', value).off('route', value));
  await each('off listener', value => router.off('route', value));
  await each('removeRoute', async value => value !== 'keep' && router.removeRoute(value));
}

const parts = {
  async 'LocalEdgeRouter made'() {
    await eachField('new LocalEdgeRouter', routerConfig, value => new LocalEdgeRouter(value).close());
    await eachField('connect', { home: at('nobody'), logRoutes: false }, value => LocalEdgeRouter.connect(value));
  },
  async 'LocalEdgeRouter used'() {
    for (const strategy of ['reverse-proxy', 'port-mapping']) {
      const router = new LocalEdgeRouter({ ...routerConfig, strategy });
      await routerMethods(router);
      await router.close();
    }
  },
  async 'LocalEdgeRouter connected'() {
    const cleanups = [];
    const daemon = await startDaemon({ after: cleanup => cleanups.push(cleanup) });
    const connected = await LocalEdgeRouter.connect({ home: daemon.home, logRoutes: false });
    await routerMethods(connected);
    for (const method of ['startProxy', 'stopProxy', 'startHealthChecking', 'stopHealthChecking', 'cleanupHostsFile', 'getProxyServer', 'getHostsManager', 'getTlsManager', 'clearRoutes']) {
      await attempt(`${method} of a daemon`, () => connected[method]());
    }
    for (const cleanup of cleanups) await cleanup();
    // Where there is none any more, calls say so.
    for (const method of ['registerRoute', 'updateRoute', 'getRoute', 'allocatePort']) {
      const argument = method === 'registerRoute' ? route : 'x';
      const error = await connected[method](argument, {}).then(() => undefined, thrown => thrown);
      if (error?.code !== 'ROUTER_UNREACHABLE') faults.push(`${method} without a daemon: ${error?.stack ?? 'no error'}`);
    }
    await attempt('all routes without a daemon', () => connected.getAllRoutes());
    await attempt('listening without a daemon', () => connected.on('route', () => {}));
    await connected.close();
  },
  async 'LocalEdgeRouter closed'() {
    const router = new LocalEdgeRouter(routerConfig);
    await router.registerRoute(route);
    const [proxyServer, iterator] = [router.getProxyServer(), router.events()];
    await router.close();
    const codes = new Set();
    for (const method of ['registerRoute', 'updateRoute', 'removeRoute', 'getRoute', 'listRoutes', 'checkRouteHealth', 'allocatePort', 'releasePort', 'startProxy', 'startHealthChecking', 'on', 'once', 'events', 'ref']) {
      const error = await (async () => router[method]('x', {}))().then(() => undefined, thrown => thrown);
      if (error?.code !== 'ROUTER_CLOSED') faults.push(`${method} after close: ${error?.stack ?? 'no error'}`);
      codes.add(error?.code);
    }
    for (const method of ['stopHealthChecking', 'getAllRoutes', 'clearRoutes', 'stopProxy', 'isProxyRunning', 'cleanupHostsFile', 'getTlsTrustInstructions', 'getProxyServer', 'getHostsManager', 'getTlsManager', 'unref', 'close']) {
      await attempt(`${method} after close`, () => router[method]());
    }
    await attempt('the proxy after close', () => [proxyServer.getRoutes(), proxyServer.isRunning(), proxyServer.getPort()]);
    await attempt('the proxy started after close', () => proxyServer.start());
    await attempt('the iterator after close', () => iterator.next());
    await routerMethods(router);
  },
  async RouteRegistry() {
    const registry = new RouteRegistry();
    await eachField('registry.add', local, value => registry.add(value));
    for (const method of ['get', 'getByDeploymentId', 'listByProjectId', 'update', 'remove']) await each(`registry.${method}`, value => registry[method](value));
    registry.add(local);
    await eachField('registry.update', local, value => registry.update('r', value));
  },
  async PortManager() {
    await eachField('new PortManager', portsConfig, value => new PortManager(value));
    const manager = new PortManager(portsConfig);
    for (const method of ['reserve', 'release', 'isPortAvailable']) await each(`ports.${method}`, value => manager[method](value));
  },
  async HealthChecker() {
    await eachField('new HealthChecker', healthConfig, value => new HealthChecker(value));
    const checker = new HealthChecker({ ...healthConfig, timeoutMs: 50 });
    await eachField('check', { ...proxied, targetScheme: 'http', healthPath: '/h' }, value => checker.check(value));
    await each('shouldMarkUnhealthy', value => checker.shouldMarkUnhealthy(value));
  },
  async ProxyServer() {
    await eachField('new ProxyServer', { ...proxyConfig, cert: 'x', key: 'y' }, value => new ProxyServer(value));
    const proxy = new ProxyServer(proxyConfig);
    await proxy.start();
    const good = { ...proxied, targetScheme: 'http', tls: false, pathPrefix: '/x', stripPrefix: true };
    await eachField('proxy.addRoute', good, value => proxy.addRoute(value));
    proxy.clearRoutes();
    proxy.addRoute(good);
    await eachField('proxy.updateRoute', good, value => proxy.updateRoute(value));
    await each('proxy.updateRoute updates', value => proxy.updateRoute('r', value));
    for (const method of ['removeRoute', 'getRoute']) await each(`proxy.${method}`, value => proxy[method](value));
    await proxy.stop();
    proxy.clearRoutes();
    await attempt('a stopped proxy', () => [proxy.addRoute(good), proxy.getRoutes(), proxy.clearRoutes()]);
  },
  async HostsManager() {
    await eachField('new HostsManager', { ...hostsConfig, localIp: '127.0.0.1', suffixes: [], owner: 'me' }, value => new HostsManager(value));
    const manager = new HostsManager(hostsConfig);
    for (const method of ['addEntry', 'addEntries', 'removeEntry', 'removeEntries', 'hasEntry']) {
      await each(`hosts.${method}`, async value => {
        const result = await manager[method](value);
        if (method !== 'hasEntry' && typeof result.success !== 'boolean') faults.push(`${method} gave ${JSON.stringify(result)}`);
      });
    }
    await eachField('hosts.addEntry', { hostname: 'a.local', ip: '127.0.0.1' }, value => manager.addEntry(value));
  },
  async TLSManager() {
    await eachField('new TLSManager', tlsConfig, value => new TLSManager(value));
    const manager = new TLSManager(tlsConfig);
    for (const method of ['getCertificate', 'generateCertificate', 'deleteCertificate', 'hasCertificate']) await each(`tls.${method}`, value => manager[method](value));
  },
  async EdgeRouterError() {
    await each('new EdgeRouterError', value => String(new EdgeRouterError(value, 'x', value).stack));
  },
};

await parts[which]();
// After all of that a good registration still works.
const router = new LocalEdgeRouter(routerConfig);
const { publicUrl } = await router.registerRoute(route);
const url = new URL(publicUrl);
const works = await new Promise((resolve, reject) => {
  http.get({ host: '127.0.0.1', port: url.port, path: url.pathname, headers: { host: url.host }, agent: false }, answer => {
    answer.resume();
    resolve(answer.statusCode === 200);
  }).on('error', reject);
});
await router.close();
// Rejections that nobody waits for have come by now.
await new Promise(resolve => setImmediate(resolve));
server.close();
// A line of its own: what was made without `logRoutes` says things, too.
process.stdout.write('\n' + JSON.stringify({ calls, faults, works, polluted: Object.keys(Object.prototype) }));
