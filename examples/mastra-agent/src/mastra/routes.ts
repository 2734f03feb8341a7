import { registerApiRoute } from '@mastra/core/server';

import { release } from './hold';
import { motto } from './motto';

/** Event streams of `/ticks` that have a reader right now. */
let open = 0;

export const routes = [
  registerApiRoute('/motto', { method: 'GET', handler: async c => c.text(motto) }),

  // The request as it reached the application.
  registerApiRoute('/request', {
    method: 'GET',
    handler: async c =>
      c.json({ pid: process.pid, url: c.req.url, headers: Object.fromEntries(c.req.raw.headers) }),
  }),

  // An event every 50 ms until the reader leaves.
  registerApiRoute('/ticks', {
    method: 'GET',
    handler: async () => {
      let timer: ReturnType<typeof setInterval>;
      let tick = 0;
      const body = new ReadableStream({
        start(controller) {
          open += 1;
          const write = () => controller.enqueue(new TextEncoder().encode(`data: ${++tick}\n\n`));
          write();
          timer = setInterval(write, 50);
        },
        cancel() {
          clearInterval(timer);
          open -= 1;
        },
      });
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
    },
  }),
  registerApiRoute('/streams', { method: 'GET', handler: async c => c.json({ open }) }),

  // Lets a held reply say its next word.
  registerApiRoute('/next-word', {
    method: 'POST',
    handler: async c => {
      release();
      return c.body(null, 204);
    },
  }),
];
