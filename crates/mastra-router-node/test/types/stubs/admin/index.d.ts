export type RouteStatus = 'pending' | 'active' | 'unhealthy' | 'error';

export interface RouteConfig {
  deploymentId: string;
  projectId: string;
  subdomain: string;
  targetHost: string;
  targetPort: number;
  tls?: boolean;
}

export interface RouteInfo {
  routeId: string;
  deploymentId: string;
  publicUrl: string;
  status: RouteStatus;
  createdAt: Date;
  lastHealthCheck?: Date;
}

export interface RouteHealthStatus {
  healthy: boolean;
  latencyMs?: number;
  statusCode?: number;
  error?: string;
}

export interface EdgeRouterProvider {
  readonly type: 'local' | 'cloudflare' | string;
  registerRoute(config: RouteConfig): Promise<RouteInfo>;
  updateRoute(routeId: string, config: Partial<RouteConfig>): Promise<RouteInfo>;
  removeRoute(routeId: string): Promise<void>;
  getRoute(deploymentId: string): Promise<RouteInfo | null>;
  listRoutes(projectId: string): Promise<RouteInfo[]>;
  checkRouteHealth(routeId: string): Promise<RouteHealthStatus>;
}

export interface AdminStorage {
  init(): Promise<void>;
}

export interface RunningServer {
  host: string;
  port: number;
  stop(): Promise<void>;
}

export interface ProjectRunner {
  start(build: string): Promise<RunningServer>;
}

export interface MastraAdminConfig {
  licenseKey: string;
  storage: AdminStorage;
  runner: ProjectRunner;
  router: EdgeRouterProvider;
}

export interface Build {
  id: string;
  deploymentId: string;
  publicUrl: string;
}

export declare class MastraAdmin {
  /** All that were made, for whoever did not make them. */
  static readonly made: MastraAdmin[];
  readonly router: EdgeRouterProvider;
  constructor(config: MastraAdminConfig);
  init(): Promise<void>;
  /** Builds and starts; the first time it registers a route, and moves it from then on. */
  deploy(userId: string, deploymentId: string): Promise<Build>;
  /** Starts an earlier build again, and moves the route to it. */
  rollback(userId: string, deploymentId: string, buildId: string): Promise<Build>;
  /** What older versions do: registers without a look. */
  registerAgain(deploymentId: string): Promise<Build>;
  /** The runner takes the route away by the deployment's id, then stops the server. */
  stop(userId: string, deploymentId: string): Promise<void>;
}
