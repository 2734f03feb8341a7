import { LocalEdgeRouter } from '@mastra/router-local';

const router = new LocalEdgeRouter({
  baseDomain: 'localhost',
  portRange: { start: 3100, end: 3199 },
});

// Register a route
const route = await router.registerRoute({
  deploymentId: 'deploy-123',
  projectId: 'project-456',
  subdomain: 'my-agent',
  targetHost: 'localhost',
  targetPort: 3001,
});
// route.publicUrl = 'http://localhost:3001'

// Check health
const health = await router.checkRouteHealth(route.routeId);
