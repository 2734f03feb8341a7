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
export type ProxyRoute = Pick<LocalRoute, 'routeId' | 'subdomain' | 'targetHost' | 'targetPort'> & Partial<Omit<LocalRoute, 'routeId' | 'subdomain' | 'targetHost' | 'targetPort'>> & Pick<LocalRouteConfig, 'targetScheme' | 'pathPrefix' | 'stripPrefix'>;
/** One port for many servers, told apart by host or path. Requests are forwarded on threads of their own. */
export declare class ProxyServer {
    #private;
    constructor(config: ProxyServerConfig);
    /** Adds a route, in the place of one with its id. Throws `ROUTE_CONFLICT` where another route has its name. */
    addRoute(route: ProxyRoute): void;
    /** Changes a route: with its id and what is new, or with the whole route. Throws `ROUTE_NOT_FOUND`. */
    updateRoute(route: ProxyRoute): void;
    updateRoute(routeId: string, updates: Partial<ProxyRoute>): void;
    /** Whether there was one. */
    removeRoute(routeId: string): boolean;
    /** The route with this name. */
    getRoute(subdomain: string): ProxyRoute | undefined;
    getRoutes(): ProxyRoute[];
    clearRoutes(): void;
    /** Listens. Rejects with `PORT_IN_USE`, and with `PROXY_RUNNING` where it does already. */
    start(): Promise<void>;
    /** Takes no more connections, lets open exchanges end within the drain timeout, and ends what is left. */
    stop(): Promise<void>;
    isRunning(): boolean;
    /** The port it listens on, or will. */
    getPort(): number;
}
