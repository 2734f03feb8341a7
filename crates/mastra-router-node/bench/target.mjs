// What is proxied: a server that does as little as a server can, so that the proxy is what is measured.
import net from 'node:net';

const small = answer(Buffer.from('Hello, world!'));
const large = answer(Buffer.alloc(64 * 1024, 'x'));
const stream = Buffer.from('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n');
const event = Buffer.from(`data: ${'x'.repeat(92)}\n\n`);
const chunk = Buffer.concat([Buffer.from(`${event.length.toString(16)}\r\n`), event, Buffer.from('\r\n')]);
const EVENT_MS = 10;

const streams = new Set();

const server = net.createServer({ noDelay: true }, socket => {
  let head = '';
  socket.on('data', data => {
    head += data.toString('latin1');
    for (let end = head.indexOf('\r\n\r\n'); end >= 0; end = head.indexOf('\r\n\r\n')) {
      const path = head.slice(head.indexOf(' ') + 1, head.indexOf(' HTTP/'));
      head = head.slice(end + 4);
      if (path !== '/events') socket.write(path === '/large' ? large : small);
      else {
        socket.write(stream);
        streams.add(socket);
      }
    }
  });
  socket.on('close', () => streams.delete(socket));
  // Who measures leaves in the middle of things.
  socket.on('error', () => {});
});

setInterval(() => streams.forEach(socket => socket.write(chunk)), EVENT_MS);
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
process.on('disconnect', () => process.exit());

function answer(body) {
  const head = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}
