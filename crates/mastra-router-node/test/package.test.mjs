// The package as it is published: packed by npm, and installed into an empty project.
import assert from 'node:assert/strict';
import { readFile, readdir, realpath, rename, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { temporary } from './support/directory.mjs';
import { addNodeTypes, compile, here, layOut, platform, run, succeed } from './support/project.mjs';

const NAME = '@mastra/router-local';
const NATIVE = `${NAME}-${platform}`;
const { version } = JSON.parse(await readFile(path.join(here, 'package.json'), 'utf8'));

/** What npm says is in the packages, and a project that has both installed. */
let packed, installed;

before(async () => {
  const { main, native } = await layOut();
  packed = { main: await pack(main), native: await pack(native) };
  installed = await install(packed.main.tarball, packed.native.tarball);
});

/** The tarball of a directory, its files by path, and its package.json. */
async function pack(directory) {
  const to = await temporary();
  const { stdout } = await succeed('npm', ['pack', '--json', '--pack-destination', to], { cwd: directory });
  const [{ filename, files }] = Object.values(JSON.parse(stdout));
  return {
    tarball: path.join(to, filename),
    files: new Map(files.map(file => [file.path, file])),
    manifest: JSON.parse(await readFile(path.join(directory, 'package.json'), 'utf8')),
  };
}

/** An empty project with these tarballs. It is offline: nothing of the package's own is published while this runs. */
async function install(...tarballs) {
  const directory = await temporary();
  await writeFile(path.join(directory, 'package.json'), JSON.stringify({ private: true }));
  const options = ['--offline', '--no-audit', '--no-fund', '--cache', path.join(directory, 'cache')];
  await succeed('npm', ['install', ...options, ...tarballs], { cwd: directory, env: { HOME: directory } });
  return directory;
}

/** Runs Node in a project. */
function node(directory, ...args) {
  return run(process.execPath, args, { cwd: directory, env: { HOME: directory } });
}

/** What a module of these lines writes to standard output. */
async function printed(directory, type, ...lines) {
  const { code, stdout, stderr } = await node(directory, `--input-type=${type}`, '-e', lines.join('\n'));
  assert.equal(code, 0, stderr);
  return stdout.trim();
}

describe('what is packed', () => {
  test('is what a program needs, and nothing of what it is built from', () => {
    const files = [...packed.main.files.keys()];
    for (const file of ['README.md', 'CHANGELOG.md', 'LICENSE', 'package.json', 'native.cjs', 'bin/mastra-router.cjs']) {
      assert.ok(files.includes(file), `${file} is missing`);
    }
    for (const file of ['dist/index.js', 'dist/index.cjs', 'dist/index.d.ts', 'dist/index.d.cts']) {
      assert.ok(files.includes(file), `${file} is missing`);
    }
    const known = /^(README\.md|CHANGELOG\.md|LICENSE|package\.json|native\.(cjs|d\.cts)|bin\/mastra-router\.cjs|dist\/.+\.(js|cjs|d\.ts|d\.cts))$/;
    assert.deepEqual(files.filter(file => !known.test(file)), []);
  });

  test('has a declaration beside each module', () => {
    const files = [...packed.main.files.keys()].filter(file => file.startsWith('dist/'));
    const declared = files.filter(file => /\.c?js$/.test(file)).map(file => file.replace(/\.(c?)js$/, '.d.$1ts'));
    assert.deepEqual(declared.filter(file => !files.includes(file)), []);
  });

  test("is, for the platform, the addon and the command's binary", () => {
    const files = [...packed.native.files.keys()].sort();
    const addon = `router-local.${platform}.node`;
    assert.deepEqual(files, ['LICENSE', 'README.md', 'mastra-router', 'package.json', addon]);
    assert.equal(packed.native.manifest.main, addon);
    assert.equal(packed.native.files.get('mastra-router').mode & 0o111, 0o111, 'the binary can be executed');
  });

  test('needs no other package, and runs nothing when it is installed', () => {
    const { dependencies, peerDependencies, scripts, devDependencies } = packed.main.manifest;
    assert.deepEqual({ dependencies, peerDependencies, scripts, devDependencies }, {
      dependencies: undefined,
      peerDependencies: undefined,
      scripts: undefined,
      devDependencies: undefined,
    });
  });

  test('names the package of each platform in its own version', async () => {
    const expected = {};
    for (const name of await readdir(path.join(here, 'npm'))) {
      const manifest = JSON.parse(await readFile(path.join(here, 'npm', name, 'package.json'), 'utf8'));
      assert.equal(manifest.name, `${NAME}-${name}`);
      assert.equal(manifest.version, version);
      assert.deepEqual(manifest.files, [manifest.main, 'mastra-router']);
      const [os, cpu, abi] = name.split('-');
      assert.deepEqual([manifest.os, manifest.cpu, manifest.libc], [[os], [cpu], abi && ['glibc']]);
      expected[manifest.name] = version;
    }
    assert.equal(Object.keys(expected).length, packed.main.manifest.napi.targets.length);
    assert.deepEqual(packed.main.manifest.optionalDependencies, expected);
  });

  test("has the workspace's version", async () => {
    const workspace = await readFile(path.join(here, '..', '..', 'Cargo.toml'), 'utf8');
    assert.ok(workspace.includes(`\nversion = "${version}"\n`));
    assert.equal(packed.native.manifest.version, version);
  });
});

describe('what is installed', () => {
  const list = 'LocalEdgeRouter, RouteRegistry, PortManager, HealthChecker, ProxyServer, HostsManager, TLSManager, EdgeRouterError';

  test('is imported', async () => {
    const lines = [`import { ${list} } from '${NAME}';`, `console.info([${list}].map(each => typeof each).join());`];
    assert.equal(await printed(installed, 'module', ...lines), Array(8).fill('function').join());
  });

  test('is required', async () => {
    const lines = [`const { ${list} } = require('${NAME}');`, `console.info([${list}].map(each => typeof each).join());`];
    assert.equal(await printed(installed, 'commonjs', ...lines), Array(8).fill('function').join());
  });

  test('is the same object both ways', async () => {
    const lines = [
      `import * as imported from '${NAME}';`,
      "import { createRequire } from 'node:module';",
      `const required = createRequire(process.cwd() + '/x.js')('${NAME}');`,
      'const names = Object.keys(required).sort();',
      'const same = names.filter(name => imported[name] === required[name]);',
      "const more = Object.keys(imported).filter(name => !['default', ...names].includes(name));",
      'console.info(JSON.stringify({ names: names.length, same: same.length, more }));',
    ];
    assert.deepEqual(JSON.parse(await printed(installed, 'module', ...lines)), { names: 8, same: 8, more: [] });
  });

  test('serves a route', async () => {
    const lines = [
      "import http from 'node:http';",
      `import { LocalEdgeRouter } from '${NAME}';`,
      "const server = http.createServer((_, answer) => answer.end('from behind')).listen(0, '127.0.0.1');",
      "await new Promise(resolve => server.once('listening', resolve));",
      "const router = new LocalEdgeRouter({ strategy: 'reverse-proxy', proxyPort: 0, logRoutes: false });",
      "const names = { deploymentId: 'd', projectId: 'p', subdomain: 'shop' };",
      "const route = await router.registerRoute({ ...names, targetHost: '127.0.0.1', targetPort: server.address().port });",
      'console.info(await (await fetch(route.publicUrl)).text());',
      'server.closeAllConnections();',
      'server.close();',
    ];
    assert.equal(await printed(installed, 'module', ...lines), 'from behind');
  });

  test('has its own package.json, and no other way in', async () => {
    const require = createRequire(path.join(installed, 'x.js'));
    assert.equal(require(`${NAME}/package.json`).version, version);
    assert.throws(() => require(`${NAME}/dist/index.cjs`), { code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' });
  });

  test('has types for Node and for bundlers', async () => {
    const text = [
      `import { LocalEdgeRouter, type RouteInfo } from '${NAME}';`,
      'export async function url(): Promise<string> {',
      '  await using router = new LocalEdgeRouter();',
      "  const route: RouteInfo | null = await router.getRoute('d');",
      "  return route?.publicUrl ?? '';",
      '}',
    ].join('\n');
    await addNodeTypes(installed);
    for (const file of ['module.mts', 'common.cts', 'bundled.ts']) await writeFile(path.join(installed, file), text);
    assert.equal(await compile(installed, ['module.mts', 'common.cts']), '');
    assert.equal(await compile(installed, ['bundled.ts'], { module: 'esnext', moduleResolution: 'bundler' }), '');
  });

  test('has the command, by its name and by that of the package', async () => {
    const env = { HOME: installed, MASTRA_ROUTER_BIN: '' };
    const command = await run('npx', ['--offline', 'mastra-router', '--version'], { cwd: installed, env });
    assert.deepEqual([command.code, command.stdout], [0, `mastra-router ${version}\n`], command.stderr);
    const help = await run('npx', ['--offline', NAME, '--help'], { cwd: installed, env });
    assert.equal(help.code, 0, help.stderr);
    assert.match(help.stdout, /Usage: mastra-router/);
  });
});

describe("without the platform's package", () => {
  let missing;

  before(async () => {
    missing = await install(packed.main.tarball);
  });

  test('is installed nevertheless', async () => {
    assert.ok((await stat(path.join(missing, 'node_modules', NAME, 'dist', 'index.cjs'))).isFile());
    await assert.rejects(stat(path.join(missing, 'node_modules', NATIVE)), { code: 'ENOENT' });
  });

  for (const [kind, text] of Object.entries({ module: `import '${NAME}';`, commonjs: `require('${NAME}');` })) {
    test(`a ${kind} that loads it is told which package is missing, and what to do`, async () => {
      const { code, stderr } = await node(missing, `--input-type=${kind}`, '-e', text);
      assert.equal(code, 1);
      const [message] = stderr.split('\n').filter(line => /^\w*Error/.test(line));
      assert.ok(message?.includes(NATIVE), `no word of ${NATIVE} in: ${message}`);
      assert.match(stderr, new RegExp(`npm install .*${NATIVE}@${version}`));
    });
  }

  test('the command says which package is missing, and what to do', async () => {
    const env = { HOME: missing, MASTRA_ROUTER_BIN: '' };
    const { code, stdout, stderr } = await run('npx', ['--offline', 'mastra-router', '--version'], { cwd: missing, env });
    assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
    assert.match(stderr, new RegExp(`^mastra-router: .*${NATIVE} is not installed.*npm install ${NATIVE}@${version}`));
  });

  test('a file in its place that is no addon is named', async () => {
    const directory = await realpath(await temporary());
    const modules = path.join(directory, 'node_modules');
    await rename(path.join(missing, 'node_modules'), modules);
    try {
      const addon = path.join(modules, NAME, `router-local.${platform}.node`);
      await writeFile(addon, 'no addon');
      const { code, stderr } = await node(directory, '--input-type=commonjs', '-e', `require('${NAME}');`);
      assert.equal(code, 1);
      assert.ok(stderr.includes(addon), stderr);
    } finally {
      await rename(modules, path.join(missing, 'node_modules'));
    }
  });
});
