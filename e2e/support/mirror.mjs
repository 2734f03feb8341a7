// A server that says what reached it, and echoes WebSocket messages.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

import { WebSocketServer } from 'ws';

export async function startMirror() {
  const server = createServer(async (request, response) => {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of request) {
      hash.update(chunk);
      bytes += chunk.length;
    }
    const { method, url, headers } = request;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ method, url, headers, bytes, sha256: hash.digest('hex') }));
  });
  const handleProtocols = offered => (offered.has('second') ? 'second' : false);
  const sockets = new WebSocketServer({ server, handleProtocols, maxPayload: 8 << 20 });
  const closed = new Map();
  sockets.on('connection', (socket, request) => {
    socket.on('message', (data, binary) => {
      if (!binary && data.toString() === 'leave') socket.close(4001, 'as you wish');
      else socket.send(data, { binary });
    });
    socket.on('close', (code, reason) => {
      closed.set(request.url, [code, reason.toString()]);
      server.emit('socket closed');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: server.address().port,
    /** How the WebSocket opened at `url` was closed, as this server saw it: code and reason. */
    async closeOf(url) {
      while (!closed.has(url)) await once(server, 'socket closed');
      return closed.get(url);
    },
    async stop() {
      sockets.clients.forEach(socket => socket.terminate());
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
