// The same package as a CommonJS module sees it.
import local = require('@mastra/router-local');

export const router: local.EdgeRouterProvider = new local.LocalEdgeRouter({ logRoutes: false });
export const config: local.LocalEdgeRouterConfig = { strategy: 'reverse-proxy', tls: { validityDays: 1 } };
export const classes = [local.RouteRegistry, local.PortManager, local.HealthChecker, local.ProxyServer, local.EdgeRouterError];
