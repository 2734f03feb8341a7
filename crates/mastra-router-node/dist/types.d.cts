/** Where a route stands. */
export type RouteStatus = 'pending' | 'active' | 'unhealthy' | 'error';
/** What a caller asks for. */
export interface RouteConfig {
    /** Deployment that the route belongs to; one route each. */
    deploymentId: string;
    /** Project that the deployment belongs to. */
    projectId: string;
    /** Name of the route: one or more DNS labels. */
    subdomain: string;
    /** Host of the server that the route leads to. */
    targetHost: string;
    /** Its port, from 1 to 65535. */
    targetPort: number;
    /** Whether the public URL is `https`. Default: the router's `enableTls`. */
    tls?: boolean;
}
/** What a caller gets to see of a route. */
export interface RouteInfo {
    routeId: string;
    deploymentId: string;
    /** URL under which the route answers. */
    publicUrl: string;
    status: RouteStatus;
    createdAt: Date;
    /** When the target was last checked. */
    lastHealthCheck?: Date;
}
/** Result of one health check. */
export interface RouteHealthStatus {
    /** Whether the target answered with a status from 200 to 299. */
    healthy: boolean;
    /** Milliseconds that the check took. */
    latencyMs?: number;
    /** HTTP status of the answer. */
    statusCode?: number;
    /** Why the check failed. */
    error?: string;
}
/** Registers, moves and removes routes: the interface of `@mastra/admin`. */
export interface EdgeRouterProvider {
    readonly type: 'local' | 'cloudflare' | string;
    registerRoute(config: RouteConfig): Promise<RouteInfo>;
    updateRoute(routeId: string, config: Partial<RouteConfig>): Promise<RouteInfo>;
    removeRoute(routeId: string): Promise<void>;
    getRoute(deploymentId: string): Promise<RouteInfo | null>;
    listRoutes(projectId: string): Promise<RouteInfo[]>;
    checkRouteHealth(routeId: string): Promise<RouteHealthStatus>;
}
/** What a target speaks. `https+insecure` is TLS with a certificate that is not checked. */
export type TargetScheme = 'http' | 'https' | 'https+insecure' | 'h2c';
/** A {@link RouteConfig} with what this router knows beyond it. */
export interface LocalRouteConfig extends RouteConfig {
    /** What the target speaks. Default: `http`. */
    targetScheme?: TargetScheme;
    /** Path on the route's host from which on it answers, as `/api`. Default: all of the host. */
    pathPrefix?: string;
    /** Whether the prefix is taken off before a request is forwarded. Default: true. */
    stripPrefix?: boolean;
    /** Path of this route's health check. Default: the router's `healthCheck.path`. */
    healthPath?: string;
    /** Whether hosts below the route's own, as `x.shop.localhost`, lead here too. Default: false. */
    wildcard?: boolean;
    /**
     * Register, or switch, only once the target has passed a health check; no longer than `healthCheck.timeoutMs`, then the
     * call fails with `TARGET_UNHEALTHY` and changes nothing. Default: false.
     */
    waitHealthy?: boolean;
}
/**
 * How routes are reached.
 * - `port-mapping`: the URL of a route is its target's own
 * - `reverse-proxy`: one port for all routes
 */
export type RoutingStrategy = 'port-mapping' | 'reverse-proxy';
/** Configuration of a `LocalEdgeRouter`. */
export interface LocalEdgeRouterConfig {
    /** @default 'port-mapping' */
    strategy?: RoutingStrategy;
    /** Domain that the names of routes live under, as `mastra.local`. @default 'localhost' */
    baseDomain?: string;
    /** Ports that `allocatePort` gives out. @default { start: 3100, end: 3199 } */
    portRange?: {
        start: number;
        end: number;
    };
    /** Port of the reverse proxy; 0 for one that the system chooses. @default 3000 */
    proxyPort?: number;
    healthCheck?: {
        /** @default '/health' */
        path?: string;
        /** @default 30000 */
        intervalMs?: number;
        /** @default 5000 */
        timeoutMs?: number;
        /** Failed checks in a row that make a route unhealthy. @default 3 */
        failureThreshold?: number;
    };
    /**
     * Keep the names of routes in the hosts file. With `'required'` a route whose name cannot be written is refused; with
     * `true` that is said on the console, and the route works without. @default false
     */
    enableHostsFile?: boolean | 'required';
    hosts?: {
        /** @default the system's hosts file */
        path?: string;
        /** @default '~/.mastra/hosts-backups' */
        backupDir?: string;
    };
    /** Make the public URLs of routes `https`. @default false */
    enableTls?: boolean;
    tls?: {
        /** Directory of the local authority and of its certificates. @default '~/.mastra/certs' */
        certDir?: string;
        /** At most 397. @default 365 */
        validityDays?: number;
        /** File of a certificate to serve in the place of issued ones; goes with `key`. */
        cert?: string;
        /** File of its key. */
        key?: string;
        /** Send clients that ask for a TLS route without TLS to its `https` URL. @default false */
        redirectHttp?: boolean;
    };
    /** Say changes of routes on the console. @default true */
    logRoutes?: boolean;
    /**
     * Form of URLs on `localhost`: `http://localhost:3000/name`, or `http://name.localhost:3000`, which applications with
     * absolute paths need. @default 'path'
     */
    localhostUrls?: 'path' | 'subdomain';
    /** Addresses of the proxy, as `127.0.0.1:3000`. @default both loopback addresses, on `proxyPort` */
    listen?: string[];
    /** Let the proxy lead to other machines. @default false */
    allowRemoteTargets?: boolean;
    /** Directory that routes and leases are saved in, to be there after a restart. @default none */
    stateDir?: string;
    /** Directory of port leases, which all routers of a user share. @default '~/.mastra/router/ports' */
    leaseDir?: string;
    proxy?: {
        /** Threads that forward requests, none of them the program's own. @default one a core, four at most */
        threads?: number;
        /** How long a request waits for a target that has listened and refuses connections, as while it restarts. @default 10000 */
        restartGraceMs?: number;
        /** How long a request waits for a target that has not listened yet. @default 30000 */
        startTimeoutMs?: number;
        /** How long a connection to a target may take. @default 5000 */
        connectTimeoutMs?: number;
        /** How long open exchanges may go on after a stop. @default 5000 */
        drainTimeoutMs?: number;
        /** Connections from clients at one time. @default 10000 */
        maxConnections?: number;
    };
}
/** A route as a {@link RouteRegistry} keeps it. */
export interface LocalRoute {
    routeId: string;
    deploymentId: string;
    projectId: string;
    subdomain: string;
    targetHost: string;
    targetPort: number;
    publicUrl: string;
    status: RouteStatus;
    tls: boolean;
    createdAt: Date;
    lastHealthCheck?: Date;
    healthCheckFailures: number;
}
/** A route was registered, updated or removed, or all of them were. */
export interface RouteEvent {
    kind: 'route';
    change: 'registered' | 'updated' | 'removed' | 'cleared';
    /** Of all but `cleared`. */
    route?: RouteInfo;
}
/** A health check ended. */
export interface HealthEvent {
    kind: 'health';
    /** The route, with the status it has now. */
    route: RouteInfo;
    /** The status it had before. */
    before: RouteStatus;
    health: RouteHealthStatus;
}
/** The proxy began the answer to a request. Streams and WebSockets are told when they begin. */
export interface RequestEvent {
    kind: 'request';
    at: Date;
    /** The route that it was for, where there is one. */
    routeId?: string;
    subdomain?: string;
    method: string;
    host: string;
    /** Path and query. */
    path: string;
    status: number;
    protocol: 'http/1.1' | 'h2' | 'websocket';
    /** Milliseconds from the request to the head of its answer. */
    latencyMs: number;
}
/** Events by name. */
export interface EdgeRouterEvents {
    route: RouteEvent;
    health: HealthEvent;
    request: RequestEvent;
}
