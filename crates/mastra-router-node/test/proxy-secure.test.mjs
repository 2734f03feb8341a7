// ProxyServer with TLS, and with WebSockets.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';

import { WebSocket, WebSocketServer } from 'ws';

import { temporary } from './support/directory.mjs';
import { ask, loopback } from './support/http.mjs';
import { ProxyServer, TLSManager } from './support/package.mjs';
import { startTarget } from './support/target.mjs';
import { within } from './support/waiting.mjs';

const route = target => ({ routeId: 'route_1', subdomain: 'app', targetHost: '127.0.0.1', targetPort: target.port });

async function start(t, config, target) {
  const server = new ProxyServer({ port: 0, logRequests: false, drainTimeoutMs: 100, ...config });
  t.after(() => server.stop());
  server.addRoute(route(target));
  await server.start();
  return server;
}

/** A certificate for `app.localhost`, and the authority that vouches for it. */
async function certificate() {
  const certDir = await temporary();
  const manager = new TLSManager({ certDir, logChanges: false });
  const { certificate: made, error } = await manager.getCertificate('app.localhost');
  assert.equal(error, undefined);
  return { ...made, certDir, ca: await readFile(path.join(certDir, 'ca.pem'), 'utf8') };
}

/** Asks over TLS, which only an answer with a certificate for the name passes; gives the certificate, too. */
async function secure(server, ca, host = 'app.localhost') {
  let shown;
  const checkServerIdentity = (_host, peer) => void (shown = peer);
  const url = `https://${host}:${server.getPort()}/x`;
  const { body } = await ask(url, { ca, rejectUnauthorized: true });
  await ask(url, { ca, checkServerIdentity });
  return { body, shown };
}

describe('the proxy with TLS', { concurrency: true }, () => {
  test('it shows a certificate that was given as PEM', async t => {
    const [target, { cert, key, ca }] = [await startTarget(t), await certificate()];
    for (const given of [{ cert, key }, { cert: Buffer.from(cert), key: Buffer.from(key) }]) {
      const server = await start(t, { tls: true, ...given }, target);
      const { body, shown } = await secure(server, ca);
      assert.equal(body, 'target /x');
      const pem = shown.raw.toString('base64');
      assert.ok(cert.replaceAll(/\s/g, '').includes(pem));
      await assert.rejects(ask(`https://app.localhost:${server.getPort()}/`), /certificate/i);
    }
  });

  test('it shows a certificate that was given as files', async t => {
    const [target, { cert, certDir, ca }] = [await startTarget(t), await certificate()];
    const files = { cert: path.join(certDir, 'app.localhost.crt'), key: path.join(certDir, 'app.localhost.key') };
    const { body, shown } = await secure(await start(t, { tls: true, ...files }, target), ca);
    assert.equal(body, 'target /x');
    assert.ok(cert.replaceAll(/\s/g, '').includes(shown.raw.toString('base64')));
  });

  test('without one the local authority issues them, name by name', async t => {
    const [target, certDir] = [await startTarget(t), await temporary()];
    const server = await start(t, { tls: true, certDir }, target);
    const ca = await readFile(path.join(certDir, 'ca.pem'));
    assert.equal((await secure(server, ca)).body, 'target /x');
    server.updateRoute('route_1', { subdomain: 'other' });
    assert.equal((await secure(server, ca, 'other.localhost')).body, 'target /x');
  });

  test('it still answers without TLS on the same port', async t => {
    const [target, { cert, key }] = [await startTarget(t), await certificate()];
    const server = await start(t, { tls: true, cert, key }, target);
    assert.equal((await ask(`http://app.localhost:${server.getPort()}/x`)).body, 'target /x');
  });

  test('what is no certificate with its key is refused', async t => {
    const [{ cert, key }, other, dir] = [await certificate(), await certificate(), await temporary()];
    const garbage = path.join(dir, 'garbage.pem');
    await writeFile(garbage, 'nothing');
    for (const given of [{ cert }, { key }, { cert, key: '/nowhere/key.pem' }]) {
      assert.throws(() => new ProxyServer({ port: 0, tls: true, ...given }), { name: 'EdgeRouterError', code: 'INVALID_CONFIG' });
    }
    const torn = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
    for (const given of [{ cert, key: other.key }, { cert: key, key: cert }, { cert: torn, key }]) {
      const server = new ProxyServer({ port: 0, tls: true, logRequests: false, ...given });
      await assert.rejects(server.start(), { name: 'EdgeRouterError', code: 'INVALID_CONFIG' });
      assert.equal(server.isRunning(), false);
    }
    for (const file of [garbage, '/nowhere/pair.pem', dir]) {
      const server = new ProxyServer({ port: 0, tls: true, logRequests: false, cert: file, key: file });
      await assert.rejects(server.start(), { name: 'EdgeRouterError', code: 'CERTIFICATE_ERROR' }, file);
      assert.equal(server.isRunning(), false);
    }
  });
});

describe('WebSockets', { concurrency: true }, () => {
  async function echoing(t) {
    const target = await startTarget(t);
    const sockets = new WebSocketServer({ server: target.server, handleProtocols: protocols => [...protocols][0] });
    sockets.on('connection', (socket, request) => {
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
      socket.send(`connected ${request.url}`);
    });
    t.after(() => sockets.clients.forEach(client => client.terminate()));
    return { target, sockets };
  }

  for (const [way, url] of [
    ['by host', port => `ws://app.localhost:${port}/socket?x=1`],
    ['by path', port => `ws://localhost:${port}/app/socket?x=1`],
  ]) {
    test(`they pass ${way}, with their messages, protocol and end`, async t => {
      const { target } = await echoing(t);
      const server = await start(t, {}, target);
      const socket = new WebSocket(url(server.getPort()), ['chat'], { lookup: loopback });
      t.after(() => socket.terminate());
      const messages = [];
      socket.on('message', (data, isBinary) => messages.push(isBinary ? data : data.toString()));
      const next = async () => {
        while (messages.length === 0) await within('a message', once(socket, 'message'));
        return messages.shift();
      };
      assert.equal(await next(), 'connected /socket?x=1');
      assert.equal(socket.protocol, 'chat');
      socket.send('grüße');
      assert.equal(await next(), 'grüße');
      const bytes = Buffer.alloc(300_000, 7);
      socket.send(bytes);
      assert.ok((await next()).equals(bytes));
      socket.close(4001, 'enough');
      const [code, reason] = await within('the end', once(socket, 'close'));
      assert.deepEqual([code, reason.toString()], [4001, 'enough']);
    });
  }

  test('they pass over TLS', async t => {
    const [{ target }, { cert, key, ca }] = [await echoing(t), await certificate()];
    const server = await start(t, { tls: true, cert, key }, target);
    const socket = new WebSocket(`wss://app.localhost:${server.getPort()}/`, { lookup: loopback, ca });
    t.after(() => socket.terminate());
    const [data] = await within('a message', once(socket, 'message'));
    assert.equal(data.toString(), 'connected /');
  });

  test('stopping ends them within its drain timeout', async t => {
    const { target, sockets } = await echoing(t);
    const server = await start(t, { drainTimeoutMs: 50 }, target);
    const socket = new WebSocket(`ws://app.localhost:${server.getPort()}/`, { lookup: loopback });
    await within('a message', once(socket, 'message'));
    socket.on('error', () => {});
    const [atTarget] = sockets.clients;
    const ends = [once(socket, 'close'), once(atTarget, 'close')];
    await within('the end of stop', server.stop());
    await within('the end of both sides', Promise.all(ends));
  });
});
