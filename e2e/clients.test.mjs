// The clients people use, through the router.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Client } from 'undici';

import { launchBrowser, openPage, shot } from './support/browser.mjs';
import { fetch, getJson, socket } from './support/http.mjs';
import { startMirror } from './support/mirror.mjs';
import { run } from './support/process.mjs';
import { startDemo, startRouter } from './support/router.mjs';

const patient = { timeout: 60_000 };
const MEBIBYTE = 1 << 20;

let router, mirror;

before(async () => {
  router = await startRouter();
  mirror = await startMirror();
  await router.add('mirror', mirror.port);
}, patient);

after(async () => {
  await mirror?.stop();
  await router?.stop();
}, patient);

describe('curl', () => {
  const curl = async (t, ...args) => {
    const result = await run('curl', ['--silent', '--show-error', '--fail', ...args]).catch(error => error);
    if (result.code === 'ENOENT') return t.skip('curl is not installed');
    assert.equal(result.code, 0, result.stderr);
    return JSON.parse(result.stdout);
  };

  test('finds the name, with its query as sent', patient, async t => {
    const seen = await curl(t, router.at('mirror', '/a%20b/?q=1&q=%2F'));
    if (seen) assert.deepEqual([seen.method, seen.url], ['GET', '/a%20b/?q=1&q=%2F']);
  });

  test('finds the path, without the prefix', patient, async t => {
    const seen = await curl(t, router.under('mirror', '/a?b=c'));
    if (!seen) return;
    assert.equal(seen.url, '/a?b=c');
    assert.equal(seen.headers['x-forwarded-prefix'], '/mirror');
    assert.equal(seen.headers.host, `localhost:${router.port}`);
  });

  test('uploads with Expect: 100-continue, chunked and with a length', patient, async t => {
    const data = randomBytes(3 * MEBIBYTE);
    const file = path.join(router.home, 'upload.bin');
    await writeFile(file, data);
    for (const header of ['Expect: 100-continue', 'Transfer-Encoding: chunked']) {
      const seen = await curl(t, '-H', header, '-T', file, router.at('mirror', '/up'));
      if (!seen) return;
      assert.deepEqual([seen.method, seen.bytes, seen.sha256], ['PUT', data.length, sha256(data)]);
    }
  });

  test('speaks HTTP/1.0', patient, async t => {
    const seen = await curl(t, '--http1.0', router.at('mirror', '/old'));
    if (seen) assert.equal(seen.url, '/old');
  });
});

describe('Node', () => {
  test('fetch: many at once, each with its own answer', patient, async () => {
    const numbers = [...Array(200).keys()];
    const seen = await Promise.all(numbers.map(n => getJson(router.at('mirror', `/n/${n}`))));
    assert.deepEqual(seen.map(answer => answer.url), numbers.map(n => `/n/${n}`));
  });

  test('fetch: a request body that is still being written', patient, async () => {
    const parts = [randomBytes(MEBIBYTE), randomBytes(7), randomBytes(MEBIBYTE)];
    const response = await fetch(router.at('mirror', '/'), {
      method: 'POST',
      duplex: 'half',
      body: (async function* () {
        yield* parts;
      })(),
    });
    assert.equal((await response.json()).sha256, sha256(Buffer.concat(parts)));
  });

  test('undici: pipelined requests are answered in order', patient, async t => {
    const client = new Client(`http://127.0.0.1:${router.port}`, { pipelining: 10 });
    t.after(() => client.close());
    const headers = { host: `mirror.localhost:${router.port}` };
    const ask = async n => (await client.request({ method: 'GET', path: `/p/${n}`, headers })).body.json();
    const seen = await Promise.all([...Array(50).keys()].map(ask));
    assert.deepEqual(seen.map(answer => answer.url), [...Array(50).keys()].map(n => `/p/${n}`));
  });

  test('forwarding headers of a client are not believed', patient, async () => {
    const response = await fetch(router.at('mirror', '/'), {
      headers: { 'x-forwarded-for': '203.0.113.9', 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' },
    });
    const { headers } = await response.json();
    assert.equal(headers['x-forwarded-for'], '127.0.0.1');
    assert.equal(headers['x-forwarded-host'], `mirror.localhost:${router.port}`);
    assert.equal(headers['x-forwarded-proto'], 'http');
  });

  test('an unknown name is 404, the index is 200', patient, async () => {
    const unknown = await fetch(router.at('nobody'), { headers: { accept: 'application/json' } });
    assert.equal(unknown.status, 404);
    assert.match(unknown.headers.get('content-type'), /application\/problem\+json/);
    assert.equal((await fetch(`http://localhost:${router.port}/`)).status, 200);
  });
});

describe('WebSocket', () => {
  const open = async (t, protocols, options, where = '/socket') => {
    const client = socket(router.at('mirror', where), protocols, options);
    t.after(() => client.terminate());
    await once(client, 'open');
    return client;
  };

  test('the subprotocol is the one the server chose', patient, async t => {
    assert.equal((await open(t, ['first', 'second'])).protocol, 'second');
  });

  test('messages of a mebibyte come back as sent', patient, async t => {
    for (const perMessageDeflate of [false, true]) {
      const client = await open(t, [], { perMessageDeflate });
      for (let n = 0; n < 8; n += 1) {
        const data = randomBytes(MEBIBYTE);
        client.send(data);
        const [echo, binary] = await once(client, 'message');
        assert.ok(binary && data.equals(echo), `message ${n}`);
      }
    }
  });

  test('messages sent before the first answer are not lost', patient, async t => {
    const client = await open(t);
    const sent = [...Array(100).keys()].map(String);
    const seen = [];
    const all = new Promise(resolve => client.on('message', data => seen.push(String(data)) === 100 && resolve()));
    sent.forEach(text => client.send(text));
    await all;
    assert.deepEqual(seen, sent);
  });

  test('close codes cross in both directions', patient, async t => {
    const leaving = await open(t, [], {}, '/leaving');
    leaving.send('leave');
    const [code, reason] = await once(leaving, 'close');
    assert.deepEqual([code, reason.toString()], [4001, 'as you wish']);
    assert.equal((await mirror.closeOf('/leaving'))[0], 4001);

    const gone = await open(t, [], {}, '/gone');
    gone.close(4002, 'enough');
    await once(gone, 'close');
    assert.deepEqual(await mirror.closeOf('/gone'), [4002, 'enough']);
  });
});

test('Python http.client: two requests on one connection', patient, async t => {
  const script = `
import http.client, json, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
urls = []
for n in range(2):
    connection.request("POST", "/py/%d" % n, body=b"x" * 70000, headers={"Host": "mirror.localhost:" + sys.argv[1]})
    answer = connection.getresponse()
    assert answer.status == 200, answer.status
    urls.append(json.load(answer))
print(json.dumps([[u["url"], u["bytes"]] for u in urls]))
`;
  const result = await run('python3', ['-c', script, String(router.port)]).catch(error => error);
  if (result.code === 'ENOENT') return t.skip('python3 is not installed');
  assert.equal(result.code, 0, result.stderr);
  assert.deepEqual(JSON.parse(result.stdout), [['/py/0', 70_000], ['/py/1', 70_000]]);
});

test('demo: every address it prints answers, and Ctrl-C ends it', { timeout: 120_000 }, async t => {
  const { demo, stop } = await startDemo();
  t.after(() => stop());
  // A demo keeps its state to itself, so what it prints is all there is to go by.
  const urls = await demo.printed(text => {
    const found = text.matchAll(/http:\/\/[\w.-]+\.localhost:\d+[\w./-]*(?=\s)/g);
    const urls = [...new Set([...found].map(match => match[0]))];
    return demo.output.stderr.includes('Ctrl-C') && urls.length >= 2 && urls;
  });
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const page = await openPage(t, browser);
  for (const [n, url] of urls.entries()) {
    // Some are endless streams, so the head is enough; 405 is the echo, which wants a POST.
    const leave = new AbortController();
    const response = await fetch(url, { signal: leave.signal });
    assert.ok(response.ok || response.status === 405, `${url}: ${response.status}`);
    leave.abort();
    if (!/text\/html/.test(response.headers.get('content-type'))) continue;
    await page.goto(url);
    await shot(page, `demo-${n}`);
  }
  await browser.close();
  const { code, signal } = await stop('SIGINT');
  assert.ok(code === 0 || signal === 'SIGINT', `ended with ${code ?? signal}`);
});

function sha256(data) {
  return createHash('sha256').update(data).digest('hex');
}
