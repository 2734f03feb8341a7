// Programs that name the design's types compile with the package's, and the other way round.
import type * as admin from '@mastra/admin';
import { HealthChecker, LocalEdgeRouter, PortManager, RouteRegistry } from '@mastra/router-local';
import type * as ours from '@mastra/router-local';

import type * as design from './design.js';

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;

// What both have is the same both ways.
export const same: [
  Same<ours.EdgeRouterProvider, admin.EdgeRouterProvider>,
  Same<ours.RouteConfig, admin.RouteConfig>,
  Same<ours.RouteInfo, admin.RouteInfo>,
  Same<ours.RouteHealthStatus, admin.RouteHealthStatus>,
  Same<ours.RouteStatus, admin.RouteStatus>,
  Same<ours.RoutingStrategy, design.RoutingStrategy>,
  Same<ours.LocalRoute, design.LocalRoute>,
  Same<ours.HealthCheckConfig, design.HealthCheckConfig>,
] = [true, true, true, true, true, true, true, true];

// A configuration of the design is one of ours, which knows more.
export const config = (given: design.LocalEdgeRouterConfig): ours.LocalEdgeRouterConfig => given;
export const ports = (given: design.PortManagerConfig): ours.PortManagerConfig => given;

/** A provider of one's own, by our interface. */
export class Custom implements ours.EdgeRouterProvider {
  readonly type = 'cloudflare';

  async registerRoute(config: ours.RouteConfig): Promise<ours.RouteInfo> {
    return { routeId: '1', deploymentId: config.deploymentId, publicUrl: '', status: 'pending', createdAt: new Date() };
  }

  async updateRoute(_routeId: string, config: Partial<ours.RouteConfig>): Promise<ours.RouteInfo> {
    return this.registerRoute(config as ours.RouteConfig);
  }

  async removeRoute(_routeId: string): Promise<void> {}

  async getRoute(_deploymentId: string): Promise<ours.RouteInfo | null> {
    return null;
  }

  async listRoutes(_projectId: string): Promise<ours.RouteInfo[]> {
    return [];
  }

  async checkRouteHealth(_routeId: string): Promise<ours.RouteHealthStatus> {
    return { healthy: false, error: 'never' };
  }
}

/** A router that adds to ours. */
export class Louder extends LocalEdgeRouter implements admin.EdgeRouterProvider {
  override async registerRoute(config: ours.LocalRouteConfig): Promise<ours.RouteInfo> {
    return super.registerRoute({ ...config, subdomain: config.subdomain.toUpperCase() });
  }
}

export const providers: admin.EdgeRouterProvider[] = [new Custom(), new LocalEdgeRouter(), new Louder()];

export async function program(route: design.LocalRoute): Promise<void> {
  await using router: ours.EdgeRouterProvider & AsyncDisposable = new LocalEdgeRouter(config({ proxyPort: 0 }));
  const local: 'local' = new LocalEdgeRouter().type;
  const info: admin.RouteInfo | null = await router.getRoute(local);
  const checked: Date | undefined = info?.lastHealthCheck;

  const registry = new RouteRegistry();
  registry.add(route);
  const found: design.LocalRoute | undefined = registry.update(route.routeId, { healthCheckFailures: 1 });
  const listed: design.LocalRoute[] = [...registry.all(), ...registry.listByProjectId('project')];
  const removed: boolean = registry.remove(found?.routeId ?? '');

  const allocated: number = await new PortManager({ start: 3100, end: 3199 }).allocate();
  const checker = new HealthChecker({ path: '/health', timeoutMs: 100, failureThreshold: 3 });
  const health: admin.RouteHealthStatus = await checker.check(route);
  const unhealthy: boolean = checker.shouldMarkUnhealthy(allocated);
  void [checked, listed, removed, health, unhealthy];
}

export async function beyond(): Promise<void> {
  const router = await LocalEdgeRouter.connect({ home: '/nowhere' });
  router.on('health', event => void (event.health.healthy satisfies boolean));
  router.once('request', event => void (event.status satisfies number));
  for await (const event of router.events('route')) void (event.change satisfies string);
  for await (const event of router) if (event.kind === 'request') void (event.path satisfies string);
  // @ts-expect-error There is no such event.
  router.on('nothing', () => {});
  // @ts-expect-error A port is a number.
  await router.registerRoute({ deploymentId: 'd', projectId: 'p', subdomain: 's', targetHost: 'h', targetPort: '1' });
  // @ts-expect-error A misspelled setting is seen.
  new LocalEdgeRouter({ stratgy: 'reverse-proxy' });
  const proxy: ours.ProxyServer | null = router.getProxyServer();
  const hosts: ours.HostsManager | null = router.getHostsManager();
  const tls: ours.TLSManager | null = router.getTlsManager();
  const failure: ours.EdgeRouterError = new (await import('@mastra/router-local')).EdgeRouterError('CODE', 'message');
  void [proxy, hosts, tls, failure.code, failure.hint];
}
