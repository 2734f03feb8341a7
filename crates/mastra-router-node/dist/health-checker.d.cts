import type { LocalRoute, LocalRouteConfig, RouteHealthStatus } from './types.cjs';
export interface HealthCheckConfig {
    /** Path that is asked for. */
    path: string;
    /** Milliseconds after which a check has failed. */
    timeoutMs: number;
    /** Failed checks in a row that make a route unhealthy. */
    failureThreshold: number;
}
/** What a check needs to know of a route; a {@link LocalRoute} has it. */
export type CheckedRoute = Pick<LocalRoute, 'targetHost' | 'targetPort'> & Pick<LocalRouteConfig, 'targetScheme' | 'healthPath'>;
/** Asks targets for their health path. */
export declare class HealthChecker {
    #private;
    constructor(config: HealthCheckConfig);
    /** Checks a route's target once. What goes wrong with the target stands in the result's `error`. */
    check(route: CheckedRoute): Promise<RouteHealthStatus>;
    /** Whether so many failures in a row make a route unhealthy. */
    shouldMarkUnhealthy(failureCount: number): boolean;
}
