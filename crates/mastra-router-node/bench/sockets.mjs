// Clients on plain sockets, in a process of their own: readers of event streams, and requests where `wrk` is not there.
//
//   node bench/sockets.mjs PORT PATH CONNECTIONS SECONDS
import net from 'node:net';

const [port, connections, seconds] = [process.argv[2], process.argv[4], process.argv[5]].map(Number);
const path = process.argv[3];
const request = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: bench.localhost:${port}\r\n\r\n`);
const isStream = path === '/events';

let [answers, failures, over] = [0, 0, false];
const sockets = Array.from({ length: connections }, connect);
setTimeout(() => {
  over = true;
  const result = { count: answers, failures, seconds };
  process.stdout.write(JSON.stringify(result), () => process.exit());
  sockets.forEach(socket => socket.destroy());
}, seconds * 1000);

function connect() {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true }, () => socket.write(request));
  /** Bytes of the answer that are still to come; `undefined` while its head is not complete. */
  let left;
  let head = '';
  const count = data => {
    // An event ends with the only blank line in it.
    for (let at = data.indexOf('\n\n'); at >= 0; at = data.indexOf('\n\n', at + 2)) answers += 1;
  };
  const read = data => {
    if (left === undefined) {
      const had = head.length;
      head += data.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      if (!head.startsWith('HTTP/1.1 200')) failures += 1;
      left = Number(/\r\ncontent-length: *(\d+)/i.exec(head.slice(0, end + 2))?.[1] ?? NaN);
      data = data.subarray(end + 4 - had);
      head = '';
    }
    if (isStream) return count(data);
    left -= data.length;
    if (left > 0) return;
    if (left < 0 || Number.isNaN(left)) failures += 1;
    answers += 1;
    left = undefined;
    socket.write(request);
  };
  socket.on('data', read);
  for (const event of ['error', 'end']) socket.on(event, () => (failures += over ? 0 : 1));
  return socket;
}
