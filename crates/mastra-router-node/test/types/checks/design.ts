// The types of the design that this package follows, as they stand there.
import type { RouteStatus } from '@mastra/admin';

export type RoutingStrategy = 'port-mapping' | 'reverse-proxy';

export interface LocalEdgeRouterConfig {
  strategy?: RoutingStrategy;
  baseDomain?: string;
  portRange?: {
    start: number;
    end: number;
  };
  proxyPort?: number;
  healthCheck?: {
    path?: string;
    intervalMs?: number;
    timeoutMs?: number;
    failureThreshold?: number;
  };
  enableHostsFile?: boolean;
  enableTls?: boolean;
  tls?: {
    certDir?: string;
    validityDays?: number;
  };
  logRoutes?: boolean;
}

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

export interface PortManagerConfig {
  start: number;
  end: number;
}

export interface HealthCheckConfig {
  path: string;
  timeoutMs: number;
  failureThreshold: number;
}
