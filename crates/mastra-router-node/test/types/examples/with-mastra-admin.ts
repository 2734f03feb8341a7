import { MastraAdmin } from '@mastra/admin';
import { PostgresAdminStorage } from '@mastra/admin-pg';
import { LocalEdgeRouter } from '@mastra/router-local';
import { LocalProcessRunner } from '@mastra/runner-local';

const admin = new MastraAdmin({
  licenseKey: process.env.MASTRA_LICENSE_KEY!,
  storage: new PostgresAdminStorage({ connectionString: process.env.DATABASE_URL! }),
  runner: new LocalProcessRunner({ workDir: '/tmp/mastra-builds' }),
  router: new LocalEdgeRouter({
    portRange: { start: 3100, end: 3199 },
    healthCheck: { intervalMs: 10000 },
  }),
});

await admin.init();

// Deploy will automatically register routes
const build = await admin.deploy('user-123', 'deployment-456');
