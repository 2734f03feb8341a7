/// <reference lib="esnext.disposable" preserve="true" />
import { HostsManager } from './hosts/hosts-manager.cjs';
import { ProxyServer } from './proxy/proxy-server.cjs';
import { TLSManager } from './tls/tls-manager.cjs';
import type { EdgeRouterEvents, EdgeRouterProvider, LocalEdgeRouterConfig, LocalRouteConfig, RouteHealthStatus, RouteInfo } from './types.cjs';
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
export declare class LocalEdgeRouter implements EdgeRouterProvider {
    #private;
    readonly type = "local";
    /** Makes a router. Throws `INVALID_CONFIG`, and with a `stateDir` also `HOME_IN_USE` and `FILE_ERROR`. */
    constructor(config?: LocalEdgeRouterConfig);
    /**
     * The router of another process: the same interface over a running `mastra-router`, so that several programs share one
     * port. Its periodic checks, its proxy and its routes are there when this program has ended.
     *
     * Rejects with `ROUTER_UNREACHABLE` where none runs.
     */
    static connect(options?: ConnectOptions): Promise<LocalEdgeRouter>;
    /**
     * Registers a route, and resolves once its URL is served. In `reverse-proxy` that starts the proxy. The first health check
     * is part of it; where it fails, the route is `pending`.
     */
    registerRoute(config: LocalRouteConfig): Promise<RouteInfo>;
    /** Changes a route. Requests in flight finish on the old target. */
    updateRoute(routeId: string, config: Partial<LocalRouteConfig>): Promise<RouteInfo>;
    /** Removes a route, by its id or its deployment's. One that is not there is no error. */
    removeRoute(routeId: string): Promise<void>;
    /** The route of a deployment. */
    getRoute(deploymentId: string): Promise<RouteInfo | null>;
    /** The routes of a project, in the order of registration. */
    listRoutes(projectId: string): Promise<RouteInfo[]>;
    /** Checks a route's target now. A route that does not exist is reported as unhealthy. */
    checkRouteHealth(routeId: string): Promise<RouteHealthStatus>;
    /** Takes a free port of `portRange`, for a server that is to be started. It is taken until the router is closed. */
    allocatePort(): Promise<number>;
    /** Gives a port back; false where it was not taken. */
    releasePort(port: number): Promise<boolean>;
    /** Checks all routes from now on, each every `healthCheck.intervalMs`. A daemon does so by itself. */
    startHealthChecking(): void;
    stopHealthChecking(): void;
    /** All routes, in the order of registration; none once the router is closed. Those of a daemon are waited for. */
    getAllRoutes(): RouteInfo[];
    /** Removes all routes; of a daemon, those that were registered through this object. */
    clearRoutes(): void;
    /** Starts the proxy, which the first route would. Rejects with `NO_PROXY_IN_STRATEGY`, `PROXY_RUNNING`, `PORT_IN_USE`. */
    startProxy(): Promise<void>;
    /** Stops the proxy; open exchanges end within `proxy.drainTimeoutMs`. Where none runs, it does nothing. */
    stopProxy(): Promise<void>;
    isProxyRunning(): boolean;
    /** Removes this router's lines from the hosts file. Where `enableHostsFile` is off, it does nothing. */
    cleanupHostsFile(): Promise<void>;
    /** How to trust the certificates of this router; `null` where TLS is off. */
    getTlsTrustInstructions(): string | null;
    /** The router's proxy; `null` with a strategy that has none. Its routes are the router's, and are changed there. */
    getProxyServer(): ProxyServer | null;
    /** The router's entries of the hosts file; `null` where `enableHostsFile` is off. */
    getHostsManager(): HostsManager | null;
    /** The router's certificates; `null` where `enableTls` is off. */
    getTlsManager(): TLSManager | null;
    /** Calls `listener` with each event from now on. Listening keeps no program alive. */
    on<N extends keyof EdgeRouterEvents>(name: N, listener: (event: EdgeRouterEvents[N]) => void): this;
    /** Calls `listener` with the next event. */
    once<N extends keyof EdgeRouterEvents>(name: N, listener: (event: EdgeRouterEvents[N]) => void): this;
    off<N extends keyof EdgeRouterEvents>(name: N, listener: (event: EdgeRouterEvents[N]) => void): this;
    /**
     * Events from this call on, until the router is closed or, where it is another process's, has ended: of these names, or of
     * all. A reader that falls behind by more than 1,024 loses the oldest; a program that is busy for as many loses some.
     */
    events<N extends keyof EdgeRouterEvents = keyof EdgeRouterEvents>(...names: N[]): AsyncIterableIterator<EdgeRouterEvents[N]>;
    [Symbol.asyncIterator](): AsyncIterableIterator<EdgeRouterEvents[keyof EdgeRouterEvents]>;
    /** Keeps the program alive until {@link unref} or {@link close}, as a server of Node does. */
    ref(): this;
    unref(): this;
    /**
     * Stops everything in order: checks, the proxy with its connections, entries of the hosts file, routes, ports. Doing it
     * again does nothing, and nor do calls that only stop or clear something; `getAllRoutes` gives none; other calls fail from
     * then on with `ROUTER_CLOSED`. A daemon goes on, with its routes.
     */
    close(): Promise<void>;
    [Symbol.asyncDispose](): Promise<void>;
}
