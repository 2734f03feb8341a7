/// <reference lib="esnext.disposable" preserve="true" />
import { boolean, callable, count, field, fields, oneOf, optional, string, type Check } from './arguments.cjs';
import { readConfiguration, home } from './configuration.cjs';
import { installEnding, unwatchSignals, watchSignals } from './ending.cjs';
import { call, callAsync, EdgeRouterError } from './error.cjs';
import { Events, routeInfo } from './events.cjs';
import { HostsManager } from './hosts/hosts-manager.cjs';
import native = require('./native.cjs');
import { ProxyServer } from './proxy/proxy-server.cjs';
import { TLSManager } from './tls/tls-manager.cjs';
import type {
  EdgeRouterEvents,
  EdgeRouterProvider,
  LocalEdgeRouterConfig,
  LocalRouteConfig,
  RouteHealthStatus,
  RouteInfo,
} from './types.cjs';
import { installWarnings } from './warnings.cjs';

const SCHEMES = ['http', 'https', 'https+insecure', 'h2c'];
const BEYOND = {
  tls: optional(boolean),
  targetScheme: optional(oneOf(...SCHEMES)),
  pathPrefix: optional(string),
  stripPrefix: optional(boolean),
  healthPath: optional(string),
  wildcard: optional(boolean),
  waitHealthy: optional(boolean),
};
const ROUTE: { [K in keyof LocalRouteConfig]-?: Check } = {
  deploymentId: string,
  projectId: string,
  subdomain: string,
  targetHost: string,
  targetPort: count,
  ...BEYOND,
};
const UPDATE: { [K in keyof LocalRouteConfig]-?: Check } = {
  deploymentId: optional(string),
  projectId: optional(string),
  subdomain: optional(string),
  targetHost: optional(string),
  targetPort: optional(count),
  ...BEYOND,
};

/** Routers with something to serve: they are there until they are closed, whether the program keeps them or not. */
const open = new Set<LocalEdgeRouter>();

/** Settings of {@link LocalEdgeRouter.connect}. */
export interface ConnectOptions {
  /** Directory of the router. @default $MASTRA_ROUTER_HOME, else '~/.mastra/router' */
  home?: string;
  /** Say changes of routes on the console. @default true */
  logRoutes?: boolean;
}

/**
 * Local edge router: names instead of ports for the servers of one machine.
 *
 * It never keeps a program alive by itself; {@link LocalEdgeRouter.ref} makes it. A program that ends without
 * {@link LocalEdgeRouter.close} leaves no port taken and no line in the hosts file.
 *
 * @example
 * ```typescript
 * const router = new LocalEdgeRouter({ strategy: 'reverse-proxy' });
 * const route = await router.registerRoute({
 *   deploymentId: 'deploy-1',
 *   projectId: 'project-1',
 *   subdomain: 'shop',
 *   targetHost: 'localhost',
 *   targetPort: 5173,
 * });
 * console.info(route.publicUrl); // http://localhost:3000/shop
 * ```
 */
export class LocalEdgeRouter implements EdgeRouterProvider {
  readonly type = 'local';

  readonly #native: native.NativeRouter;
  readonly #events: Events;
  readonly #logs: boolean;
  /** That of another process. */
  readonly #isDaemon: boolean;
  readonly #configuration: LocalEdgeRouterConfig;
  #closed: Promise<void> | undefined;
  #watchesSignals = false;
  #proxy: ProxyServer | undefined;
  #keepsAlive: NodeJS.Timeout | undefined;
  /** Routes registered through a daemon, which are those that `clearRoutes` clears. */
  readonly #registered = new Set<string>();

  /** Makes a router. Throws `INVALID_CONFIG`, and with a `stateDir` also `HOME_IN_USE` and `FILE_ERROR`. */
  constructor(config?: LocalEdgeRouterConfig);
  /** That of another process. @internal */
  constructor(config: LocalEdgeRouterConfig, daemon: native.NativeRouter);
  constructor(config: LocalEdgeRouterConfig = {}, daemon?: native.NativeRouter) {
    const configuration = readConfiguration(config);
    this.#configuration = configuration.given;
    this.#native = daemon ?? call(() => new native.NativeRouter(configuration.native));
    this.#isDaemon = daemon !== undefined;
    this.#logs = configuration.given.logRoutes ?? true;
    this.#events = new Events(this.#native);
    installEnding();
    installWarnings(this.#logs);
    for (const warning of this.#native.warnings()) this.#warn(warning);
    // Routes that were saved are served from when they are first asked for.
    if (configuration.given.stateDir !== undefined) this.#serves();
  }

  /**
   * The router of another process: the same interface over a running `mastra-router`, so that several programs share one
   * port. Its periodic checks, its proxy and its routes are there when this program has ended.
   *
   * Rejects with `ROUTER_UNREACHABLE` where none runs.
   */
  static async connect(options: ConnectOptions = {}): Promise<LocalEdgeRouter> {
    const given = fields<ConnectOptions>('options', options, { home: optional(string), logRoutes: optional(boolean) });
    const router = await callAsync(() => native.NativeRouter.connect(home(given.home)));
    return new LocalEdgeRouter({ logRoutes: given.logRoutes }, router);
  }

  /**
   * Registers a route, and resolves once its URL is served. In `reverse-proxy` that starts the proxy. The first health check
   * is part of it; where it fails, the route is `pending`.
   */
  async registerRoute(config: LocalRouteConfig): Promise<RouteInfo> {
    this.#mustBeOpen();
    const given = fields<LocalRouteConfig>('config', config, ROUTE);
    this.#serves();
    const info = await callAsync(() => this.#native.registerRoute(given));
    if (this.#isDaemon) this.#registered.add(info.routeId);
    this.#log(`Route registered: ${info.subdomain} → ${info.publicUrl}`);
    return routeInfo(info);
  }

  /** Changes a route. Requests in flight finish on the old target. */
  async updateRoute(routeId: string, config: Partial<LocalRouteConfig>): Promise<RouteInfo> {
    this.#mustBeOpen();
    field('routeId', routeId, string);
    const given = fields<Partial<LocalRouteConfig>>('config', config, UPDATE);
    const info = await callAsync(() => this.#native.updateRoute(routeId, given));
    this.#log(`Route updated: ${info.subdomain} → ${info.publicUrl}`);
    return routeInfo(info);
  }

  /** Removes a route, by its id or its deployment's. One that is not there is no error. */
  async removeRoute(routeId: string): Promise<void> {
    this.#mustBeOpen();
    field('routeId', routeId, string);
    const before = await callAsync(() => this.#native.findRoute(routeId));
    await callAsync(() => this.#native.removeRoute(routeId));
    // It may have been found by its name, which removes nothing.
    if (!before || ![before.routeId, before.deploymentId].includes(routeId)) return;
    this.#registered.delete(before.routeId);
    this.#log(`Route removed: ${before.subdomain}`);
  }

  /** The route of a deployment. */
  async getRoute(deploymentId: string): Promise<RouteInfo | null> {
    this.#mustBeOpen();
    field('deploymentId', deploymentId, string);
    const info = await callAsync(() => this.#native.getRoute(deploymentId));
    return info ? routeInfo(info) : null;
  }

  /** The routes of a project, in the order of registration. */
  async listRoutes(projectId: string): Promise<RouteInfo[]> {
    this.#mustBeOpen();
    field('projectId', projectId, string);
    return (await callAsync(() => this.#native.listRoutes(projectId))).map(routeInfo);
  }

  /** Checks a route's target now. A route that does not exist is reported as unhealthy. */
  async checkRouteHealth(routeId: string): Promise<RouteHealthStatus> {
    this.#mustBeOpen();
    field('routeId', routeId, string);
    return callAsync(() => this.#native.checkRouteHealth(routeId));
  }

  /** Takes a free port of `portRange`, for a server that is to be started. It is taken until the router is closed. */
  async allocatePort(): Promise<number> {
    this.#mustBeOpen();
    this.#serves();
    return callAsync(() => this.#native.allocatePort());
  }

  /** Gives a port back; false where it was not taken. */
  async releasePort(port: number): Promise<boolean> {
    this.#mustBeOpen();
    field('port', port, count);
    return callAsync(() => this.#native.releasePort(port));
  }

  /** Checks all routes from now on, each every `healthCheck.intervalMs`. A daemon does so by itself. */
  startHealthChecking(): void {
    this.#mustBeOpen();
    this.#serves();
    call(() => this.#native.startHealthChecking());
  }

  stopHealthChecking(): void {
    call(() => this.#native.stopHealthChecking());
  }

  /** All routes, in the order of registration; none once the router is closed. Those of a daemon are waited for. */
  getAllRoutes(): RouteInfo[] {
    if (this.#closed) return [];
    return call(() => this.#native.allRoutes()).map(routeInfo);
  }

  /** Removes all routes; of a daemon, those that were registered through this object. */
  clearRoutes(): void {
    if (this.#closed) return;
    call(() => this.#native.clearRoutes([...this.#registered]));
    this.#registered.clear();
    this.#log('All routes cleared');
  }

  /** Starts the proxy, which the first route would. Rejects with `NO_PROXY_IN_STRATEGY`, `PROXY_RUNNING`, `PORT_IN_USE`. */
  async startProxy(): Promise<void> {
    this.#mustBeOpen();
    this.#serves();
    await callAsync(() => this.#native.startProxy());
    this.#log(`Proxy started on port ${this.#native.proxyPort() ?? 0}`);
  }

  /** Stops the proxy; open exchanges end within `proxy.drainTimeoutMs`. Where none runs, it does nothing. */
  async stopProxy(): Promise<void> {
    if (this.#closed) return;
    if (this.#isDaemon) throw shared('stop its proxy');
    const ran = this.isProxyRunning();
    await callAsync(() => this.#native.stopProxy());
    if (ran) this.#log('Proxy stopped');
  }

  isProxyRunning(): boolean {
    return !this.#closed && this.#native.proxyPort() !== null;
  }

  /** Removes this router's lines from the hosts file. Where `enableHostsFile` is off, it does nothing. */
  async cleanupHostsFile(): Promise<void> {
    const cleaned = await this.getHostsManager()?.removeAllEntries();
    if (cleaned && !cleaned.success) throw new EdgeRouterError('HOSTS_FILE', cleaned.error ?? 'the hosts file could not be cleaned');
  }

  /** How to trust the certificates of this router; `null` where TLS is off. */
  getTlsTrustInstructions(): string | null {
    return this.getTlsManager()?.getTrustInstructions() ?? null;
  }

  /** The router's proxy; `null` with a strategy that has none. Its routes are the router's, and are changed there. */
  getProxyServer(): ProxyServer | null {
    if (this.#configuration.strategy !== 'reverse-proxy') return null;
    const port = this.#configuration.proxyPort ?? 3000;
    this.#proxy ??= new ProxyServer(
      { port },
      {
        port: () => this.#native.proxyPort() ?? port,
        isRunning: () => this.isProxyRunning(),
        start: () => this.startProxy(),
        stop: () => this.stopProxy(),
        routes: () => (this.#closed ? [] : call(() => this.#native.proxyRoutes())),
      },
    );
    return this.#proxy;
  }

  /** The router's entries of the hosts file; `null` where `enableHostsFile` is off. */
  getHostsManager(): HostsManager | null {
    const manager = this.#native.hosts();
    return manager ? new HostsManager({ logChanges: this.#logs }, manager) : null;
  }

  /** The router's certificates; `null` where `enableTls` is off. */
  getTlsManager(): TLSManager | null {
    const manager = this.#native.tls();
    return manager ? new TLSManager({ logChanges: this.#logs }, manager) : null;
  }

  /** Calls `listener` with each event from now on. Listening keeps no program alive. */
  on<N extends keyof EdgeRouterEvents>(name: N, listener: (event: EdgeRouterEvents[N]) => void): this {
    this.#mustBeOpen();
    this.#events.on(eventName(name), field('listener', listener, callable));
    return this;
  }

  /** Calls `listener` with the next event. */
  once<N extends keyof EdgeRouterEvents>(name: N, listener: (event: EdgeRouterEvents[N]) => void): this {
    this.#mustBeOpen();
    this.#events.once(eventName(name), field('listener', listener, callable));
    return this;
  }

  off<N extends keyof EdgeRouterEvents>(name: N, listener: (event: EdgeRouterEvents[N]) => void): this {
    this.#events.off(eventName(name), field('listener', listener, callable));
    return this;
  }

  /**
   * Events from this call on, until the router is closed or, where it is another process's, has ended: of these names, or of
   * all. A reader that falls behind by more than 1,024 loses the oldest; a program that is busy for as many loses some.
   */
  events<N extends keyof EdgeRouterEvents = keyof EdgeRouterEvents>(...names: N[]): AsyncIterableIterator<EdgeRouterEvents[N]> {
    this.#mustBeOpen();
    const all: (keyof EdgeRouterEvents)[] = names.length > 0 ? names.map(eventName) : ['route', 'health', 'request'];
    return this.#events.iterate(all) as AsyncIterableIterator<EdgeRouterEvents[N]>;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<EdgeRouterEvents[keyof EdgeRouterEvents]> {
    return this.events();
  }

  /** Keeps the program alive until {@link unref} or {@link close}, as a server of Node does. */
  ref(): this {
    this.#mustBeOpen();
    this.#keepsAlive ??= setInterval(() => {}, 2 ** 30);
    return this;
  }

  unref(): this {
    clearInterval(this.#keepsAlive);
    this.#keepsAlive = undefined;
    return this;
  }

  /**
   * Stops everything in order: checks, the proxy with its connections, entries of the hosts file, routes, ports. Doing it
   * again does nothing, and nor do calls that only stop or clear something; `getAllRoutes` gives none; other calls fail from
   * then on with `ROUTER_CLOSED`. A daemon goes on, with its routes.
   */
  async close(): Promise<void> {
    this.#closed ??= this.#close();
    await this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.unref();
    this.#events.end();
    await callAsync(() => this.#native.close());
    if (this.#watchesSignals) unwatchSignals();
    open.delete(this);
    if (!this.#isDaemon) this.#log('All routes cleared');
  }

  #serves(): void {
    if (this.#isDaemon || open.has(this)) return;
    open.add(this);
    this.#watchesSignals = this.#native.hosts() !== null;
    if (this.#watchesSignals) watchSignals();
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new EdgeRouterError('ROUTER_CLOSED', 'the router is closed');
  }

  #log(message: string): void {
    if (this.#logs) console.info(`[LocalEdgeRouter] ${message}`);
  }

  #warn(message: string): void {
    if (this.#logs) console.error(`[LocalEdgeRouter] ${message}`);
  }
}

function eventName<N extends keyof EdgeRouterEvents>(name: N): N {
  return field<N>('event', name, oneOf('route', 'health', 'request'));
}

function shared(what: string): EdgeRouterError {
  return new EdgeRouterError(
    'SHARED_ROUTER',
    `other programs use this router: a program that is connected to it cannot ${what}`,
    'mastra-router stop',
  );
}
