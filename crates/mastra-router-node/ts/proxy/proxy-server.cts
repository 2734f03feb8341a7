import { boolean, count, field, fields, optional, port, settings, string, time, type Check } from '../arguments.cjs';
import { home } from '../configuration.cjs';
import { call, callAsync, EdgeRouterError } from '../error.cjs';
import native = require('../native.cjs');
import { installWarnings } from '../warnings.cjs';
import type { LocalRoute, LocalRouteConfig } from '../types.cjs';

export interface ProxyServerConfig {
  /** Port to listen on, at both loopback addresses; 0 for one that the system chooses. */
  port: number;
  /** Domain that the names of routes live under. @default 'localhost' */
  baseDomain?: string;
  /** Serve TLS, too, on the same port. @default false */
  tls?: boolean;
  /** Certificate with its chain, as PEM or the path of a file; without one, the local authority issues them. */
  cert?: string | Uint8Array;
  /** Its key, as PEM or the path of a file. */
  key?: string | Uint8Array;
  /** Directory of the local authority. @default '~/.mastra/certs' */
  certDir?: string;
  /** Say each request on the console. @default true */
  logRequests?: boolean;
  /** Milliseconds that a connection to a target may take. A stream may be silent for as long as it likes. @default 30000 */
  timeout?: number;
  /** How long a request waits for a target that refuses connections. @default 10000, or `timeout` where that is less */
  restartGraceMs?: number;
  /** How long open exchanges may go on after `stop`. @default 5000 */
  drainTimeoutMs?: number;
  /** Let routes lead to other machines. @default false */
  allowRemoteTargets?: boolean;
  /** Threads that forward requests. @default one a core, four at most */
  threads?: number;
}

/** A route of a {@link ProxyServer}; a {@link LocalRoute} is one. */
export type ProxyRoute = Pick<LocalRoute, 'routeId' | 'subdomain' | 'targetHost' | 'targetPort'> &
  Partial<Omit<LocalRoute, 'routeId' | 'subdomain' | 'targetHost' | 'targetPort'>> &
  Pick<LocalRouteConfig, 'targetScheme' | 'pathPrefix' | 'stripPrefix'>;

const CONFIG: { [K in keyof ProxyServerConfig]-?: Check } = {
  port,
  baseDomain: optional(string),
  tls: optional(boolean),
  cert: optional(pem),
  key: optional(pem),
  certDir: optional(string),
  logRequests: optional(boolean),
  timeout: optional(time),
  restartGraceMs: optional(time),
  drainTimeoutMs: optional(time),
  allowRemoteTargets: optional(boolean),
  threads: optional(count),
};
const ROUTE = {
  routeId: string,
  subdomain: string,
  targetHost: string,
  targetPort: count,
  targetScheme: optional(string),
  tls: optional(boolean),
  pathPrefix: optional(string),
  stripPrefix: optional(boolean),
};

/** What a proxy is made of: the addon's own, or that of a router. */
interface Engine {
  port(): number;
  isRunning(): boolean;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Of a router: its routes, which are not changed here. */
  routes?(): ProxyRoute[];
}

/** One port for many servers, told apart by host or path. Requests are forwarded on threads of their own. */
export class ProxyServer {
  readonly #engine: Engine;
  readonly #native: native.NativeProxy | undefined;
  readonly #routes = new Map<string, ProxyRoute>();

  constructor(config: ProxyServerConfig);
  /** That of a router. @internal */
  constructor(config: ProxyServerConfig, engine: Engine);
  constructor(config: ProxyServerConfig, engine?: Engine) {
    if (engine) {
      this.#engine = engine;
      return;
    }
    const given = settings<ProxyServerConfig>('', config, CONFIG);
    const proxy = call(() => new native.NativeProxy(options(given)));
    this.#native = proxy;
    installWarnings(true);
    const log = given.logRequests ?? true ? logRequest : undefined;
    this.#engine = {
      port: () => proxy.port() ?? given.port,
      isRunning: () => proxy.port() !== null,
      start: async () => {
        const listening = await callAsync(() => proxy.start(log));
        serving.add(this);
        if (log) console.info(`[ProxyServer] Listening on ${given.tls ? 'https' : 'http'}://localhost:${listening}`);
      },
      stop: async () => {
        await callAsync(() => proxy.stop());
        serving.delete(this);
      },
    };
  }

  /** Adds a route, in the place of one with its id. Throws `ROUTE_CONFLICT` where another route has its name. */
  addRoute(route: ProxyRoute): void {
    const proxy = this.#own('addRoute');
    const checked = fields<Omit<ProxyRoute, never>>('route', route, ROUTE as never);
    call(() => proxy.setRoute(checked as native.NativeProxyRoute));
    this.#routes.set(route.routeId, route);
  }

  /** Changes a route: with its id and what is new, or with the whole route. Throws `ROUTE_NOT_FOUND`. */
  updateRoute(route: ProxyRoute): void;
  updateRoute(routeId: string, updates: Partial<ProxyRoute>): void;
  updateRoute(route: string | ProxyRoute, updates?: Partial<ProxyRoute>): void {
    const proxy = this.#own('updateRoute');
    const routeId = typeof route === 'string' ? route : fields<{ routeId: string }>('route', route, { routeId: string }).routeId;
    const before = this.#routes.get(routeId);
    if (!before) throw new EdgeRouterError('ROUTE_NOT_FOUND', `Route not found: ${routeId}`);
    const changed: ProxyRoute = { ...before, ...(typeof route === 'string' ? updates : route), routeId };
    const checked = fields<ProxyRoute>('route', changed, ROUTE as never);
    call(() => proxy.setRoute(checked as native.NativeProxyRoute));
    this.#routes.set(routeId, changed);
  }

  /** Whether there was one. */
  removeRoute(routeId: string): boolean {
    const proxy = this.#own('removeRoute');
    field('routeId', routeId, string);
    call(() => proxy.removeRoute(routeId));
    return this.#routes.delete(routeId);
  }

  /** The route with this name. */
  getRoute(subdomain: string): ProxyRoute | undefined {
    const name = typeof subdomain === 'string' ? subdomain.toLowerCase() : undefined;
    return this.getRoutes().find(route => route.subdomain.toLowerCase() === name);
  }

  getRoutes(): ProxyRoute[] {
    return this.#engine.routes?.() ?? [...this.#routes.values()];
  }

  clearRoutes(): void {
    const proxy = this.#own('clearRoutes');
    call(() => proxy.clearRoutes());
    this.#routes.clear();
  }

  /** Listens. Rejects with `PORT_IN_USE`, and with `PROXY_RUNNING` where it does already. */
  start(): Promise<void> {
    return this.#engine.start();
  }

  /** Takes no more connections, lets open exchanges end within the drain timeout, and ends what is left. */
  stop(): Promise<void> {
    return this.#engine.stop();
  }

  isRunning(): boolean {
    return this.#engine.isRunning();
  }

  /** The port it listens on, or will. */
  getPort(): number {
    return this.#engine.port();
  }

  #own(method: string): native.NativeProxy {
    if (this.#native) return this.#native;
    throw new EdgeRouterError('ROUTER_OWNED', `${method}: the routes of this proxy are its router's`, 'use registerRoute, updateRoute or removeRoute of the router');
  }
}

/** Running proxies are there until they are stopped, whether the program keeps them or not. */
const serving = new Set<ProxyServer>();

function pem(value: unknown): string | undefined {
  return typeof value === 'string' || value instanceof Uint8Array ? undefined : 'it is neither text nor bytes';
}

function text(given: string | Uint8Array | undefined): string | undefined {
  return given instanceof Uint8Array ? Buffer.from(given).toString() : given;
}

function options(given: ProxyServerConfig): native.NativeProxyOptions {
  const [cert, key] = [text(given.cert), text(given.key)];
  const isPem = (given: string | undefined) => given?.includes('-----BEGIN ') ?? false;
  return {
    port: given.port,
    baseDomain: given.baseDomain ?? 'localhost',
    tls: given.tls ?? false,
    certPem: isPem(cert) ? cert : undefined,
    keyPem: isPem(key) ? key : undefined,
    certPath: isPem(cert) ? undefined : home(cert),
    keyPath: isPem(key) ? undefined : home(key),
    certDir: home(given.certDir),
    timeoutMs: given.timeout ?? 30_000,
    restartGraceMs: given.restartGraceMs,
    drainTimeoutMs: given.drainTimeoutMs,
    threads: given.threads,
    allowRemoteTargets: given.allowRemoteTargets ?? false,
  };
}

function logRequest(request: native.NativeRequest): void {
  const { method, host, path, status, latencyMs } = request;
  console.info(`[ProxyServer] ${method} ${host}${path} ${status} ${latencyMs.toFixed(1)}ms`);
}
