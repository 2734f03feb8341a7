// The routers that the contract is checked with, and what its checks have in common.
import { temporary } from '../support/directory.mjs';
import { startDaemon } from '../support/daemon.mjs';
import { LocalEdgeRouter } from '../support/package.mjs';

/** So long that only checks which somebody asks for are made. */
const NEVER_MS = 3_600_000_000;

/** The kinds of routers: `make(t, settings)` gives one, which is closed when the test is over. */
export const KINDS = {
  'reverse-proxy': (t, settings) => inProcess(t, 'reverse-proxy', settings),
  'port-mapping': (t, settings) => inProcess(t, 'port-mapping', settings),
  connected,
};

/** Kinds whose routes are reached through a proxy. */
export const PROXIED = ['reverse-proxy', 'connected'];

async function inProcess(t, strategy, { failureThreshold = 3, timeoutMs = 5_000 } = {}) {
  const router = new LocalEdgeRouter({
    strategy,
    proxyPort: 0,
    leaseDir: await temporary(),
    portRange: { start: 23_100, end: 23_199 },
    healthCheck: { failureThreshold, timeoutMs, intervalMs: NEVER_MS },
    proxy: { drainTimeoutMs: 100 },
    logRoutes: false,
  });
  t.after(() => router.close());
  return router;
}

async function connected(t, { failureThreshold = 3, timeoutMs = 5_000 } = {}) {
  const toml = `
port_range = { start = 23_100, end = 23_199 }
[health]
failure_threshold = ${failureThreshold}
timeout = "${timeoutMs}ms"
interval = "${NEVER_MS}ms"
`;
  const daemon = await startDaemon(t, { toml });
  const router = await LocalEdgeRouter.connect({ home: daemon.home, logRoutes: false });
  t.after(() => router.close());
  return router;
}

/** A route to a target, or to a port. */
export function route(target, more = {}) {
  return {
    deploymentId: 'deploy-1',
    projectId: 'project-1',
    subdomain: 'app',
    targetHost: '127.0.0.1',
    targetPort: typeof target === 'number' ? target : target.port,
    ...more,
  };
}

/** A route of many: with an id and a name of its own. */
export function numbered(target, n, more = {}) {
  return route(target, { deploymentId: `deploy-${n}`, subdomain: `app-${n}`, ...more });
}
