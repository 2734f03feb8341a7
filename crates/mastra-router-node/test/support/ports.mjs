// Ports for tests: ranges that are free, and ports that are taken.
import { once } from 'node:events';
import net from 'node:net';

/** Listens on a port until the test is over, or `close` is called. */
export async function listen(t, port, host = '127.0.0.1') {
  const server = net.createServer().listen({ port, host, ipv6Only: true });
  await once(server, 'listening');
  let closed;
  const close = () => (closed ??= new Promise(resolve => server.close(resolve)));
  t.after(close);
  return { port: server.address().port, close };
}

/**
 * The first of `count` ports in a row that nobody listens on. Below the ports that systems hand out for port 0, so that
 * other tests get none of them.
 */
export async function freeRange(count) {
  for (;;) {
    const start = 20_000 + Math.floor(Math.random() * 12_000);
    const ports = Array.from({ length: count }, (_, n) => start + n);
    const free = await Promise.all(ports.flatMap(port => [isFree(port, '127.0.0.1'), isFree(port, '::1')]));
    if (free.every(Boolean)) return start;
  }
}

async function isFree(port, host) {
  const server = net.createServer();
  const taken = new Promise(resolve => server.once('error', () => resolve(false)));
  const bound = new Promise(resolve => server.listen({ port, host }, () => server.close(() => resolve(true))));
  return Promise.race([taken, bound]);
}
