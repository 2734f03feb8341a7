import type { AdminStorage } from '@mastra/admin';

export declare class PostgresAdminStorage implements AdminStorage {
  constructor(config: { connectionString: string });
  init(): Promise<void>;
}
