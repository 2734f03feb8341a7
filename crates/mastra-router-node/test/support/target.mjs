// A server behind the router.
import { once } from 'node:events';
import http from 'node:http';

/** A port that nobody listens on: tcpmux, which no machine runs, and which no system hands out. */
export const DEAD_PORT = 1;

/**
 * A server that answers with its name and what it was asked for, and `/stream` with a stream that the test writes.
 *
 * Its `health` is what it answers to health checks, changed at any time: a status, 'silence', or a function of how many
 * checks there were before.
 */
export async function startTarget(t, name = 'target', { health = 200, healthPath = '/health', port = 0 } = {}) {
  const target = { name, health, checks: 0, requests: [], streams: [] };
  const server = http.createServer((request, response) => {
    if (request.url === healthPath) {
      const status = typeof target.health === 'function' ? target.health(target.checks) : target.health;
      target.checks += 1;
      if (status !== 'silence') response.writeHead(status).end();
      return;
    }
    target.requests.push({ method: request.method, path: request.url, headers: request.headers });
    if (request.url.startsWith('/stream')) {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(`data: ${name}\n\n`);
      target.streams.push(response);
      return;
    }
    response.writeHead(200, { 'content-type': 'text/plain' }).end(`${name} ${request.url}`);
  });
  const sockets = new Set();
  server.on('connection', socket => sockets.add(socket.once('close', () => sockets.delete(socket))));
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  target.server = server;
  target.port = server.address().port;
  target.stop = async () => {
    const closed = new Promise(resolve => server.close(resolve));
    // WebSockets, too, which `closeAllConnections` leaves.
    sockets.forEach(socket => socket.destroy());
    await closed;
  };
  t.after(target.stop);
  return target;
}
