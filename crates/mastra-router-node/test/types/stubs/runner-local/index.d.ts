import type { ProjectRunner, RunningServer } from '@mastra/admin';

export declare class LocalProcessRunner implements ProjectRunner {
  constructor(config: { workDir: string });
  start(build: string): Promise<RunningServer>;
}
