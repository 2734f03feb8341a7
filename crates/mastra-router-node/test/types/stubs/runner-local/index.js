// Servers that answer with the name of their build; none of them keeps the program alive.
import { once } from 'node:events';
import http from 'node:http';

export class LocalProcessRunner {
  async start(build) {
    const server = http.createServer((_request, response) => response.end(build));
    server.listen(0, '127.0.0.1').unref();
    await once(server, 'listening');
    return {
      host: '127.0.0.1',
      port: server.address().port,
      stop: async () => {
        server.close();
        server.closeAllConnections();
      },
    };
  }
}
