import { createTool } from '@mastra/core/tools';
import { z } from 'zod';

const parcels: Record<string, string> = {
  'A-100': 'packed, leaves tonight',
  'A-200': 'on its way, two stops left',
  'A-300': 'delivered to the neighbour',
};

export const orderStatus = createTool({
  id: 'order-status',
  description: 'Says where an order is',
  inputSchema: z.object({ order: z.string() }),
  outputSchema: z.object({ order: z.string(), status: z.string() }),
  execute: async ({ order }) => ({ order, status: parcels[order] ?? 'unknown to us' }),
});
