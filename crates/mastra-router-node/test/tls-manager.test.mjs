// TLSManager: certificates of a local authority.
import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import https from 'node:https';
import path from 'node:path';
import { describe, test } from 'node:test';

import { listenToConsole } from './support/console.mjs';
import { temporary } from './support/directory.mjs';
import { ask } from './support/http.mjs';
import { EdgeRouterError, LocalEdgeRouter, TLSManager } from './support/package.mjs';

async function managed(more = {}) {
  const certDir = path.join(await temporary(), 'certs');
  const config = { certDir, logChanges: false, ...more };
  return { certDir, config, manager: new TLSManager(config), at: name => path.join(certDir, name) };
}

/** The certificate of a result that succeeded. */
function made(result) {
  assert.equal(result.success, true, result.error);
  return result.certificate;
}

/** Serves HTTPS with a certificate, and asks it as a client that trusts the authority only. */
async function serve(t, { cert, key }, ca, host) {
  const server = https.createServer({ cert, key }, (_request, response) => response.end('hello'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return ask(`https://${host}:${server.address().port}/`, { ca, rejectUnauthorized: true });
}

function isPair({ cert, key }) {
  const parsed = new X509Certificate(cert);
  return parsed.checkPrivateKey(createPrivateKey(key));
}

describe('certificates', { concurrency: true }, () => {
  for (const domain of ['app.localhost', 'app.mastra.local', 'a.b.test', 'localhost']) {
    test(`one for ${domain} is accepted by a client that trusts the authority`, async t => {
      const { manager, at } = await managed();
      const certificate = made(await manager.getCertificate(domain));
      assert.equal(certificate.domain, domain);
      assert.equal((await serve(t, certificate, await readFile(at('ca.pem')), domain)).body, 'hello');
      await assert.rejects(serve(t, certificate, undefined, domain), /certificate/i);
      const other = await managed();
      made(await other.manager.getCertificate(domain));
      await assert.rejects(serve(t, certificate, await readFile(other.at('ca.pem')), domain), /certificate|signature/i);
    });
  }

  test('it is a leaf, valid for so many days', async () => {
    const { manager, at } = await managed({ validityDays: 30, organization: 'Acme Örg' });
    const { cert, expiresAt } = made(await manager.getCertificate('app.localhost'));
    const parsed = new X509Certificate(cert);
    assert.equal(parsed.ca, false);
    assert.match(parsed.subjectAltName, /DNS:app\.localhost/);
    assert.match(parsed.issuer, /Acme Örg|Acme \\C3\\96rg/);
    assert.ok(expiresAt instanceof Date);
    assert.equal(expiresAt.getTime(), Date.parse(parsed.validTo));
    // Counted from when it is valid, which is before now: clocks differ.
    const days = (expiresAt.getTime() - Date.parse(parsed.validFrom)) / 86_400_000;
    assert.ok(days > 29 && days <= 30, String(days));
    assert.ok(Date.parse(parsed.validFrom) <= Date.now());
    const authority = new X509Certificate(await readFile(at('ca.pem')));
    assert.equal(authority.ca, true);
    assert.ok(parsed.checkIssued(authority) && parsed.verify(authority.publicKey));
  });

  test('they are files, the key for its user only', async () => {
    const { manager, certDir, at } = await managed();
    assert.equal(manager.getCertDir(), certDir);
    const { cert, key, expiresAt } = made(await manager.getCertificate('app.localhost'));
    assert.equal(await readFile(at('app.localhost.crt'), 'utf8'), cert);
    assert.equal(await readFile(at('app.localhost.key'), 'utf8'), key);
    assert.equal((await stat(at('app.localhost.key'))).mode & 0o777, 0o600);
    assert.equal((await stat(certDir)).mode & 0o077, 0);
    const meta = JSON.parse(await readFile(at('app.localhost.meta.json'), 'utf8'));
    assert.equal(typeof meta, 'object');
    assert.ok(JSON.stringify(meta).includes('app.localhost'));
    assert.ok(JSON.stringify(meta).includes(expiresAt.toISOString().slice(0, 10)), JSON.stringify(meta));
    assert.match(key, /^-----BEGIN PRIVATE KEY-----\n/);
    for (const file of await readdir(certDir)) {
      if (/key/.test(file)) assert.equal((await stat(at(file))).mode & 0o077, 0, file);
    }
  });

  test('the one that is there is given again, and a new one made where that is asked for', async () => {
    const { manager, config } = await managed();
    const first = made(await manager.getCertificate('app.localhost'));
    assert.deepEqual(made(await manager.getCertificate('app.localhost')), first);
    assert.deepEqual(made(await manager.getCertificate('APP.localhost')), first);
    assert.deepEqual(made(await new TLSManager(config).getCertificate('app.localhost')), first);
    const second = made(await manager.generateCertificate('app.localhost'));
    assert.notEqual(second.cert, first.cert);
    assert.ok(isPair(second));
    assert.deepEqual(made(await manager.getCertificate('app.localhost')), second);
  });

  for (const [what, damage] of [
    ['a corrupt key', ({ at }) => writeFile(at('app.localhost.key'), 'nothing')],
    ['an empty key', ({ at }) => writeFile(at('app.localhost.key'), '')],
    ['the key of another one', async ({ at }) => writeFile(at('app.localhost.key'), await readFile(at('other.localhost.key')))],
    ['a corrupt certificate', ({ at }) => writeFile(at('app.localhost.crt'), 'nothing')],
    ['the certificate of another name', async ({ at }) => {
      await writeFile(at('app.localhost.crt'), await readFile(at('other.localhost.crt')));
      await writeFile(at('app.localhost.key'), await readFile(at('other.localhost.key')));
    }],
  ]) {
    test(`${what} is not used again`, async t => {
      const all = await managed();
      const before = made(await all.manager.getCertificate('app.localhost'));
      made(await all.manager.getCertificate('other.localhost'));
      await damage(all);
      const after = made(await all.manager.getCertificate('app.localhost'));
      assert.notEqual(after.cert, before.cert);
      assert.ok(isPair(after));
      assert.equal((await serve(t, after, await readFile(all.at('ca.pem')), 'app.localhost')).body, 'hello');
    });
  }

  test('when one expires is read from itself, not from the file beside it', async () => {
    const { manager, at } = await managed();
    const first = made(await manager.getCertificate('app.localhost'));
    for (const text of ['{"domain":"app.localhost","expiresAt":"1999-01-01T00:00:00.000Z"}', 'no json', '']) {
      await writeFile(at('app.localhost.meta.json'), text);
      assert.deepEqual(made(await manager.getCertificate('app.localhost')), first, text);
      assert.equal(manager.listCertificates()[0].expiresAt.getTime(), first.expiresAt.getTime());
    }
  });

  test('they are listed and deleted, and the authority stays', async () => {
    const { manager, at } = await managed();
    assert.deepEqual(manager.listCertificates(), []);
    assert.equal(manager.hasCertificate('a.localhost'), false);
    assert.equal(await manager.deleteCertificate('a.localhost'), false);
    const a = made(await manager.getCertificate('a.localhost'));
    for (const domain of ['b.localhost', 'c.test']) made(await manager.getCertificate(domain));
    const listed = manager.listCertificates().toSorted((one, two) => one.domain.localeCompare(two.domain));
    assert.deepEqual(listed.map(each => each.domain), ['a.localhost', 'b.localhost', 'c.test']);
    assert.equal(listed[0].expiresAt.getTime(), a.expiresAt.getTime());
    assert.equal(manager.hasCertificate('A.localhost'), true);
    const ca = await readFile(at('ca.pem'), 'utf8');
    assert.equal(await manager.deleteCertificate('a.localhost'), true);
    assert.equal(await manager.deleteCertificate('a.localhost'), false);
    assert.equal(manager.hasCertificate('a.localhost'), false);
    for (const end of ['crt', 'key', 'meta.json']) await assert.rejects(stat(at(`a.localhost.${end}`)), { code: 'ENOENT' });
    assert.equal(await manager.clearCertificates(), undefined);
    assert.deepEqual(manager.listCertificates(), []);
    assert.equal(await readFile(at('ca.pem'), 'utf8'), ca);
    assert.ok(isPair(made(await manager.getCertificate('a.localhost'))));
    assert.equal(await readFile(at('ca.pem'), 'utf8'), ca);
  });

  test('names that the authority may not vouch for are refused, and no file is made', async () => {
    const { manager, certDir } = await managed();
    made(await manager.getCertificate('app.localhost'));
    const before = (await readdir(certDir)).sort();
    const names = ['example.com', 'app.localhost.evil.com', 'evillocalhost', 'com', '', '.', '..', '../ca', 'a/b.localhost', 'a b.localhost',
      'a\0.localhost', 'a\n.localhost', 'ca', '127.0.0.1.com', `${'x'.repeat(64)}.localhost`, '__proto__', 'constructor'];
    for (const name of names) {
      for (const method of ['getCertificate', 'generateCertificate']) {
        const { success, error, certificate } = await manager[method](name);
        assert.deepEqual([success, certificate], [false, undefined], `${method} ${JSON.stringify(name)}`);
        assert.ok(error.length > 0);
      }
    }
    assert.deepEqual((await readdir(certDir)).sort(), before);
    const own = await managed({ baseDomains: ['corp.example'] });
    assert.equal(made(await own.manager.getCertificate('app.corp.example')).domain, 'app.corp.example');
    assert.equal((await own.manager.getCertificate('app.example')).success, false);
  });

  test('what asks for one at once gets pairs', async () => {
    const { manager, config, at } = await managed();
    const all = await Promise.all(Array.from({ length: 8 }, (_, n) => (n % 2 ? manager : new TLSManager(config)).getCertificate('app.localhost')));
    const authority = new X509Certificate(await readFile(at('ca.pem')));
    for (const certificate of all.map(made)) {
      assert.ok(isPair(certificate));
      assert.ok(new X509Certificate(certificate.cert).verify(authority.publicKey));
    }
    assert.ok(isPair(made(await manager.getCertificate('app.localhost'))));
  });

  test('wrong types are results or errors', async () => {
    const { manager } = await managed();
    for (const wrong of [undefined, null, 1, NaN, {}, [], Symbol('x'), 1n]) {
      for (const method of ['getCertificate', 'generateCertificate']) {
        const { success, error } = await manager[method](wrong);
        assert.equal(success, false);
        assert.equal(typeof error, 'string');
      }
      await assert.rejects(manager.deleteCertificate(wrong), { name: 'EdgeRouterError', code: 'INVALID_FIELD' });
    }
    for (const wrong of [1, 'x', { validityDays: 0 }, { validityDays: 398 }, { validityDays: NaN }, { certDir: 1 }, { organization: 1 }, { baseDomains: 'x' }, { baseDomains: ['a b'] }]) {
      assert.throws(() => new TLSManager(wrong), { name: 'EdgeRouterError', code: 'INVALID_CONFIG' }, JSON.stringify(wrong));
    }
  });

  test('a directory that is none is an error', async () => {
    const file = path.join(await temporary(), 'file');
    await writeFile(file, 'mine');
    const manager = new TLSManager({ certDir: file, logChanges: false });
    const { success, error } = await manager.getCertificate('app.localhost');
    assert.equal(success, false);
    assert.ok(error.includes(file), error);
    assert.deepEqual(manager.listCertificates(), []);
    await assert.rejects(manager.clearCertificates(), EdgeRouterError);
    assert.equal(await readFile(file, 'utf8'), 'mine');
  });

  test('a router shows its own, where TLS is on', async t => {
    const certDir = path.join(await temporary(), 'certs');
    const router = new LocalEdgeRouter({ strategy: 'reverse-proxy', proxyPort: 0, enableTls: true, tls: { certDir }, logRoutes: false, proxy: { drainTimeoutMs: 100 } });
    t.after(() => router.close());
    const manager = router.getTlsManager();
    assert.equal(manager.getCertDir(), certDir);
    assert.ok(router.getTlsTrustInstructions().includes(path.join(certDir, 'ca.pem')));
    made(await manager.getCertificate('app.localhost'));
    const off = new LocalEdgeRouter({ logRoutes: false });
    t.after(() => off.close());
    assert.deepEqual([off.getTlsManager(), off.getTlsTrustInstructions()], [null, null]);
  });
});

test('how to trust them names the authority', async () => {
  const { manager, at } = await managed();
  const text = manager.getTrustInstructions();
  assert.ok(text.includes(at('ca.pem')) && text.includes('NODE_EXTRA_CA_CERTS='), text);
});

test('changes and errors are said on the console, where they are to be', async t => {
  const said = listenToConsole(t, '[TLSManager]');
  const { config, manager: silent } = await managed();
  made(await silent.generateCertificate('app.localhost'));
  await silent.getCertificate('example.com');
  assert.deepEqual(said, { info: [], error: [] });
  const manager = new TLSManager({ ...config, logChanges: true });
  made(await manager.generateCertificate('app.localhost'));
  await manager.deleteCertificate('app.localhost');
  await manager.deleteCertificate('app.localhost');
  assert.deepEqual(said.info, [
    '[TLSManager] Certificate generated for app.localhost',
    '[TLSManager] Certificate deleted for app.localhost',
  ]);
  const { error } = await manager.getCertificate('example.com');
  assert.deepEqual(said.error, [`[TLSManager] ${error}`]);
});
