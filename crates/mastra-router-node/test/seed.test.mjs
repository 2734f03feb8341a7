// Programs that were written for the design: the examples of its documents, word for word, compiled and run.
import assert from 'node:assert/strict';
import { cp, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { temporary } from './support/directory.mjs';
import { addNodeTypes, compile, project, run } from './support/project.mjs';
import { startTarget } from './support/target.mjs';

const types = fileURLToPath(new URL('types/', import.meta.url));

/** Has Node's types, and the packages that the examples import. */
let directory;
/** Has neither Node's types nor anything else. */
let bare;

before(async () => {
  [directory, bare] = await Promise.all([project(), project()]);
  await addNodeTypes(directory);
  for (const at of [directory, bare]) {
    for (const name of ['admin', 'admin-pg', 'runner-local']) {
      await cp(path.join(types, 'stubs', name), path.join(at, 'node_modules', '@mastra', name), { recursive: true });
    }
    for (const name of ['examples', 'checks']) await cp(path.join(types, name), path.join(at, name), { recursive: true });
  }
  assert.equal(await compile(directory, ['examples', 'checks'], { noEmit: false, outDir: 'built' }), '');
});

/** Runs what was compiled, in an empty home. */
async function runBuilt(file, env) {
  const home = await temporary();
  return run(process.execPath, [path.join('built', file)], {
    cwd: directory,
    env: { HOME: home, MASTRA_ROUTER_HOME: path.join(home, 'router'), ...env },
  });
}

/** What was compiled, with another target in the place of port 3001, which this machine may or may not listen on. */
async function leadTo(port, file) {
  const text = await readFile(path.join(directory, 'built', file), 'utf8');
  const other = file.replace('.js', `-${port}.js`);
  assert.match(text, /targetPort: 3001,/);
  await writeFile(path.join(directory, 'built', other), text.replace('targetPort: 3001,', `targetPort: ${port},`));
  return other;
}

describe('the usage example', () => {
  test('prints what it says, and ends by itself', async () => {
    const { code, stdout, stderr } = await runBuilt('examples/basic-usage.js');
    assert.equal(code, 0, stderr);
    assert.deepEqual(stdout.split('\n'), [
      '[LocalEdgeRouter] Route registered: job-matcher → http://localhost:3001',
      'Server available at: http://localhost:3001',
      '[LocalEdgeRouter] Route removed: job-matcher',
      '',
    ]);
    // Whether there is a server at port 3001 is up to this machine.
    if (stderr !== '') assert.match(stderr, /^Route unhealthy: .+\n$/);
  });

  test('finds a server that runs healthy', async t => {
    const target = await startTarget(t);
    const { code, stdout, stderr } = await runBuilt(await leadTo(target.port, 'examples/basic-usage.js'));
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    assert.match(stdout, new RegExp(`^Server available at: http://localhost:${target.port}$`, 'm'));
    assert.equal(target.checks, 2, 'one check at registration, and the one that the example asks for');
  });

  test('says why a server is unhealthy', async t => {
    const target = await startTarget(t, 'target', { health: 503 });
    const { code, stderr } = await runBuilt(await leadTo(target.port, 'examples/basic-usage.js'));
    assert.deepEqual({ code, stderr }, { code: 0, stderr: 'Route unhealthy: Non-OK response: 503 Service Unavailable\n' });
  });
});

test('the example of the class runs, and its program ends with its route registered', async t => {
  const target = await startTarget(t);
  const { code, stdout, stderr } = await runBuilt(await leadTo(target.port, 'examples/class-example.js'));
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  assert.equal(stdout, `[LocalEdgeRouter] Route registered: my-agent → http://localhost:${target.port}\n`);
  assert.equal(target.checks, 2);
});

describe('the example with MastraAdmin', () => {
  const env = { MASTRA_LICENSE_KEY: 'key', DATABASE_URL: 'postgres://nowhere' };

  test('deploys, and its program ends', async () => {
    const { code, stdout, stderr } = await runBuilt('examples/with-mastra-admin.js', env);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    assert.match(stdout, /^\[LocalEdgeRouter\] Route registered: job-matcher → http:\/\/127\.0\.0\.1:\d+\n$/);
  });

  test('is followed by a redeployment, a rollback, a double registration and a stop, and the URL answers all the time', async () => {
    const { code, stdout, stderr } = await runBuilt('checks/lifecycle.js', env);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    const said = stdout.split('\n').map(line => line.replace(/:\d+/, ':PORT'));
    const url = 'http://127.0.0.1:PORT';
    const proxied = 'http://localhost:PORT/job-matcher';
    const of = at => [
      `Route registered: job-matcher → ${at}`,
      `Route updated: job-matcher → ${at}`,
      `Route updated: job-matcher → ${at}`,
      'Route removed: job-matcher',
    ];
    const lines = [...of(url), ...of(proxied), 'All routes cleared'].map(line => `[LocalEdgeRouter] ${line}`);
    assert.deepEqual(said, [...lines, '']);
  });
});

describe('programs that name the types', { concurrency: true }, () => {
  const files = ['checks/assignable.ts', 'checks/design.ts', 'checks/common.cts'];

  test("compile with Node's modules", async () => {
    assert.equal(await compile(directory, files), '');
  });

  test('compile for a bundler', async () => {
    const options = { module: 'esnext', moduleResolution: 'bundler' };
    assert.equal(await compile(directory, files.slice(0, 2), options), '');
  });

  test("compile without Node's types", async () => {
    assert.equal(await compile(bare, files, { types: [] }), '');
  });

  // Node's own types do not stand them, so they are left out here too.
  test('compile with the strictest settings', async () => {
    const options = {
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      noPropertyAccessFromIndexSignature: true,
      noImplicitOverride: true,
      isolatedModules: true,
    };
    assert.equal(await compile(bare, files, { types: [], ...options }), '');
  });

  test('do not compile where the package does not keep its promise', async () => {
    const file = path.join(directory, 'checks', 'wrong.ts');
    await writeFile(file, "import { LocalEdgeRouter } from '@mastra/router-local';\nexport const n: number = new LocalEdgeRouter().type;\n");
    assert.match(await compile(directory, ['checks/wrong.ts']), /TS2322/);
  });
});
