import './addon.cjs';

export { EdgeRouterError } from './error.cjs';
export { HealthChecker } from './health-checker.cjs';
export { HostsManager } from './hosts/hosts-manager.cjs';
export { PortManager } from './port-manager.cjs';
export { ProxyServer } from './proxy/proxy-server.cjs';
export { RouteRegistry } from './registry.cjs';
export { LocalEdgeRouter } from './router.cjs';
export { TLSManager } from './tls/tls-manager.cjs';

export type { CheckedRoute, HealthCheckConfig } from './health-checker.cjs';
export type { HostsEntry, HostsManagerConfig, HostsResult, NewHostsEntry } from './hosts/hosts-manager.cjs';
export type { PortManagerConfig } from './port-manager.cjs';
export type { ProxyRoute, ProxyServerConfig } from './proxy/proxy-server.cjs';
export type { ConnectOptions } from './router.cjs';
export type { Certificate, CertificateInfo, CertificateResult, TLSManagerConfig } from './tls/tls-manager.cjs';
export type {
  EdgeRouterEvents,
  EdgeRouterProvider,
  HealthEvent,
  LocalEdgeRouterConfig,
  LocalRoute,
  LocalRouteConfig,
  RequestEvent,
  RouteConfig,
  RouteEvent,
  RouteHealthStatus,
  RouteInfo,
  RouteStatus,
  RoutingStrategy,
  TargetScheme,
} from './types.cjs';
