import { createStep, createWorkflow } from '@mastra/core/workflows';
import { z } from 'zod';

const ticket = z.object({ subject: z.string() });
const rated = ticket.extend({ urgent: z.boolean() });
const routed = rated.extend({ queue: z.string() });

const rate = createStep({
  id: 'rate',
  inputSchema: ticket,
  outputSchema: rated,
  execute: async ({ inputData }) => ({ ...inputData, urgent: /broken|refund|today/i.test(inputData.subject) }),
});

const assign = createStep({
  id: 'assign',
  inputSchema: rated,
  outputSchema: routed,
  execute: async ({ inputData }) => ({ ...inputData, queue: inputData.urgent ? 'phone' : 'mail' }),
});

export const triage = createWorkflow({ id: 'triage', inputSchema: ticket, outputSchema: routed })
  .then(rate)
  .then(assign)
  .commit();
