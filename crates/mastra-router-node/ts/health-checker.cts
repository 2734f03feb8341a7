import { count, field, fields, optional, settings, string, time } from './arguments.cjs';
import { call, callAsync } from './error.cjs';
import native = require('./native.cjs');
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
export type CheckedRoute = Pick<LocalRoute, 'targetHost' | 'targetPort'> &
  Pick<LocalRouteConfig, 'targetScheme' | 'healthPath'>;

/** Asks targets for their health path. */
export class HealthChecker {
  readonly #native: native.NativeHealthChecker;

  constructor(config: HealthCheckConfig) {
    const { path, timeoutMs, failureThreshold } = settings<HealthCheckConfig>('healthCheck', config, {
      path: string,
      timeoutMs: time,
      failureThreshold: count,
    });
    this.#native = call(() => new native.NativeHealthChecker(path, timeoutMs, failureThreshold));
  }

  /** Checks a route's target once. What goes wrong with the target stands in the result's `error`. */
  async check(route: CheckedRoute): Promise<RouteHealthStatus> {
    const { targetHost, targetPort, targetScheme, healthPath } = fields<CheckedRoute>('route', route, {
      targetHost: string,
      targetPort: count,
      targetScheme: optional(string),
      healthPath: optional(string),
    });
    return callAsync(() => this.#native.check(targetHost, targetPort, targetScheme, healthPath));
  }

  /** Whether so many failures in a row make a route unhealthy. */
  shouldMarkUnhealthy(failureCount: number): boolean {
    return this.#native.shouldMarkUnhealthy(field('failureCount', failureCount, count));
  }
}
