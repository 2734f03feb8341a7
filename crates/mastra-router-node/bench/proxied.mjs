// The program that is measured: a Node program with a reverse proxy in it, this package's or `http-proxy`.
//
//   node bench/proxied.mjs router-local|http-proxy TARGET_PORT
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';

/** How often the delay of the event loop is looked at. */
const RESOLUTION_MS = 10;

const [, , name, targetPort] = process.argv;
const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
let began;

const port = await (name === 'router-local' ? serveRouterLocal() : serveHttpProxy());
process.on('message', message => process.send(message === 'begin' ? begin() : end()));
process.on('disconnect', () => process.exit());
process.send({ port });

async function serveRouterLocal() {
  const { LocalEdgeRouter } = await import('../dist/index.js');
  const leaseDir = mkdtempSync(path.join(tmpdir(), 'bench-'));
  process.on('exit', () => rmSync(leaseDir, { recursive: true, force: true }));
  const router = new LocalEdgeRouter({
    strategy: 'reverse-proxy',
    localhostUrls: 'subdomain',
    listen: ['127.0.0.1:0'],
    leaseDir,
    logRoutes: false,
  });
  const names = { deploymentId: 'bench', projectId: 'bench', subdomain: 'bench' };
  const { publicUrl } = await router.registerRoute({ ...names, targetHost: '127.0.0.1', targetPort: Number(targetPort) });
  return Number(new URL(publicUrl).port);
}

async function serveHttpProxy() {
  const httpProxy = createRequire(import.meta.url)('http-proxy');
  const proxy = httpProxy.createProxyServer({ agent: new http.Agent({ keepAlive: true }), xfwd: true });
  proxy.on('error', (_error, _request, response) => response.destroy());
  const routes = new Map([['bench.localhost', { target: `http://127.0.0.1:${targetPort}` }]]);
  const server = http.createServer((request, response) => {
    const route = routes.get(request.headers.host?.split(':')[0]);
    if (route) proxy.web(request, response, route);
    else response.writeHead(404).end();
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  return server.address().port;
}

function begin() {
  delay.enable();
  delay.reset();
  began = { at: performance.now(), cpu: process.cpuUsage(), utilization: performance.eventLoopUtilization() };
  return 'begun';
}

/** What this process used since `begin`, its threads included. */
function end() {
  const cpu = process.cpuUsage(began.cpu);
  const { utilization } = performance.eventLoopUtilization(began.utilization);
  const seconds = (performance.now() - began.at) / 1000;
  delay.disable();
  // The histogram has the time from one look to the next, of which the delay is what goes beyond the time between looks.
  const beyond = nanoseconds => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
  return {
    seconds,
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
    loopUtilization: utilization,
    delayMs: { mean: beyond(delay.mean), p99: beyond(delay.percentile(99)), max: beyond(delay.max) },
    rssMiB: process.memoryUsage.rss() / 2 ** 20,
  };
}
