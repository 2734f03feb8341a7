import { LocalEdgeRouter } from '@mastra/router-local';

const router = new LocalEdgeRouter({
  baseDomain: 'localhost',
  portRange: { start: 3100, end: 3199 },
  logRoutes: true,
});

// Register a route
const route = await router.registerRoute({
  deploymentId: 'deploy-123',
  projectId: 'project-456',
  subdomain: 'job-matcher',
  targetHost: 'localhost',
  targetPort: 3001,
});

console.log(`Server available at: ${route.publicUrl}`);
// Output: Server available at: http://localhost:3001

// Check health
const health = await router.checkRouteHealth(route.routeId);
if (!health.healthy) {
  console.error('Route unhealthy:', health.error);
}

// List routes for a project
const projectRoutes = await router.listRoutes('project-456');

// Clean up
await router.removeRoute(route.routeId);
