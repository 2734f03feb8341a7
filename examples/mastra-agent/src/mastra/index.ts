import { Mastra } from '@mastra/core';
import { Agent } from '@mastra/core/agent';

import { deskModel } from './desk-model';
import { orderStatus } from './orders';
import { routes } from './routes';
import { triage } from './triage';

const support = new Agent({
  id: 'support',
  name: 'Support desk',
  instructions: 'Answer customers of a small shop. Look orders up before you speak of them.',
  model: deskModel,
  tools: { orderStatus },
});

export const mastra = new Mastra({
  agents: { support },
  workflows: { triage },
  tools: { orderStatus },
  server: {
    apiRoutes: routes,
    // Set both to serve the whole application under a path, as in /desk and /desk/api. `mastra dev`
    // reads this block by itself, so it can name only imports and the environment.
    ...(process.env.DESK_STUDIO_BASE ? { studioBase: process.env.DESK_STUDIO_BASE } : {}),
    ...(process.env.DESK_API_PREFIX ? { apiPrefix: process.env.DESK_API_PREFIX } : {}),
  },
});
