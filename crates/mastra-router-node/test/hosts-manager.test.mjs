// HostsManager: names in a hosts file, with every other byte left as it is.
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';

import { listenToConsole } from './support/console.mjs';
import { temporary } from './support/directory.mjs';
import { HostsManager, LocalEdgeRouter } from './support/package.mjs';
import { startProgram } from './support/program.mjs';

const USERS = '127.0.0.1 localhost\r\n\r\n\r\n# mine: 10.0.0.1\n10.0.0.2\tserver.corp  # keep\n::1 localhost ip6-localhost';

/** A hosts file with lines of its user, and what is in it. */
async function file(text = USERS) {
  const dir = await temporary();
  const hostsPath = path.join(dir, 'hosts');
  const backupDir = path.join(dir, 'backups');
  await writeFile(hostsPath, text);
  const config = { hostsPath, backupDir, logChanges: false };
  return { config, hostsPath, backupDir, read: () => readFile(hostsPath, 'utf8'), manager: new HostsManager(config) };
}

const succeeded = result => assert.equal(result.success, true, result.error);

describe('the hosts file', { concurrency: true }, () => {
  test('a name is added and taken out, and the other bytes stay as they are', async () => {
    const { manager, read, hostsPath } = await file();
    assert.equal(manager.getHostsPath(), hostsPath);
    succeeded(await manager.addEntry('app.mastra.local'));
    assert.deepEqual(manager.getEntries(), [{ hostname: 'app.mastra.local', ip: '127.0.0.1' }]);
    const text = await read();
    assert.ok(text.startsWith(USERS), text);
    assert.match(text, /^127\.0\.0\.1\s+app\.mastra\.local/m);
    assert.match(text, /^::1\s+app\.mastra\.local/m);
    succeeded(await manager.removeEntry('app.mastra.local'));
    assert.deepEqual(manager.getEntries(), []);
    assert.equal(await read(), USERS);
  });

  test('names are told whatever their case', async () => {
    const { manager } = await file();
    succeeded(await manager.addEntry('App.Mastra.LOCAL'));
    assert.deepEqual(manager.getEntries(), [{ hostname: 'app.mastra.local', ip: '127.0.0.1' }]);
    for (const name of ['app.mastra.local', 'APP.mastra.local']) assert.equal(manager.hasEntry(name), true);
    for (const name of ['server.corp', 'localhost', 'pp.mastra.local', '']) assert.equal(manager.hasEntry(name), false);
    succeeded(await manager.removeEntry('APP.mastra.LOCAL'));
    assert.equal(manager.hasEntry('app.mastra.local'), false);
  });

  test('several are added, all of them or none', async () => {
    const { manager, read } = await file();
    succeeded(await manager.addEntries(['a.local', { hostname: 'b.local' }, { hostname: 'c.local', ip: '127.0.0.1' }]));
    const before = await read();
    for (const wrong of ['example.com', 'a b.local', 'x.local\n10.0.0.1 bank.test', '', 'local', '-x.local', 'ü.local', 'x.local#', `${'x'.repeat(64)}.local`]) {
      const { success, error } = await manager.addEntries(['d.local', wrong]);
      assert.equal(success, false, JSON.stringify(wrong));
      assert.ok(error.length > 0);
      assert.equal(await read(), before, JSON.stringify(wrong));
    }
    assert.equal((await manager.addEntry({ hostname: 'e.local', ip: '10.0.0.1' })).success, false);
    assert.deepEqual(manager.getEntries().map(entry => entry.hostname), ['a.local', 'b.local', 'c.local']);
    succeeded(await manager.removeEntries(['a.local', 'nothing.local', 'c.local']));
    assert.deepEqual(manager.getEntries().map(entry => entry.hostname), ['b.local']);
    succeeded(await manager.removeAllEntries());
    assert.equal(await read(), USERS);
  });

  test('an own domain is given, and another address of this machine', async () => {
    const { config, read } = await file();
    const manager = new HostsManager({ ...config, suffixes: ['corp.example'], localIp: '127.0.0.2' });
    succeeded(await manager.addEntries(['app.corp.example', { hostname: 'b.local', ip: '127.0.0.2' }]));
    assert.match(await read(), /^127\.0\.0\.2\s+.*app\.corp\.example/m);
    assert.deepEqual(manager.getEntries().map(entry => entry.ip), ['127.0.0.2', '127.0.0.2']);
    assert.equal((await manager.addEntry({ hostname: 'c.local', ip: '127.0.0.1' })).success, false);
  });

  test('adding what is there and removing what is not changes nothing', async () => {
    const { manager, read, backupDir } = await file();
    succeeded(await manager.removeEntry('app.local'));
    succeeded(await manager.removeAllEntries());
    assert.equal(await read(), USERS);
    succeeded(await manager.addEntry('app.local'));
    const [text, backups] = [await read(), (await readdir(backupDir)).length];
    const again = await manager.addEntry('app.local');
    succeeded(again);
    assert.equal(again.backupPath, undefined);
    assert.equal(await read(), text);
    assert.equal((await readdir(backupDir)).length, backups);
  });

  test('concurrent additions are all there', async () => {
    const { config, manager } = await file();
    const names = Array.from({ length: 12 }, (_, n) => `app-${n}.local`);
    const results = await Promise.all(names.map((name, n) => (n % 2 ? manager : new HostsManager(config)).addEntry(name)));
    results.forEach(succeeded);
    assert.deepEqual(manager.getEntries().map(entry => entry.hostname).sort(), names.toSorted());
  });

  test('the file as it was is kept, ten times at most, and put back', async () => {
    const { manager, read, backupDir } = await file();
    const first = await manager.addEntry('app-0.local');
    assert.equal(await readFile(first.backupPath, 'utf8'), USERS);
    assert.equal(path.dirname(first.backupPath), backupDir);
    for (let n = 1; n < 14; n += 1) succeeded(await manager.addEntry(`app-${n}.local`));
    assert.equal((await readdir(backupDir)).length, 10);
    const last = await read();
    succeeded(await manager.restoreFromBackup());
    assert.equal(manager.hasEntry('app-13.local'), false);
    assert.equal(manager.hasEntry('app-12.local'), true);
    succeeded(await manager.restoreFromBackup());
    assert.equal(await read(), last);
  });

  test('without a copy there is nothing to put back', async () => {
    const { manager, read } = await file();
    const { success, error } = await manager.restoreFromBackup();
    assert.equal(success, false);
    assert.ok(error.length > 0);
    assert.equal(await read(), USERS);
  });

  test('a file that does not exist is made in a folder that does', async () => {
    const dir = await temporary();
    const config = { backupDir: path.join(dir, 'backups'), logChanges: false };
    const manager = new HostsManager({ ...config, hostsPath: path.join(dir, 'hosts') });
    assert.deepEqual(manager.getEntries(), []);
    succeeded(await manager.addEntry('app.local'));
    assert.equal(manager.hasEntry('app.local'), true);
    const nowhere = new HostsManager({ ...config, hostsPath: path.join(dir, 'none', 'hosts') });
    const { success, error } = await nowhere.addEntry('app.local');
    assert.equal(success, false);
    assert.match(error, /none/);
  });

  test('what is no file is left as it is', async () => {
    const dir = await temporary();
    await mkdir(path.join(dir, 'hosts'));
    const manager = new HostsManager({ hostsPath: path.join(dir, 'hosts'), backupDir: path.join(dir, 'backups'), logChanges: false });
    assert.equal((await manager.addEntry('app.local')).success, false);
    assert.equal((await manager.removeAllEntries()).success, false);
    assert.throws(() => manager.getEntries(), { name: 'EdgeRouterError' });
    assert.deepEqual(await readdir(path.join(dir, 'hosts')), []);
  });

  test('a block without its end is an error, and no line of the user is lost', async () => {
    const { manager, hostsPath, read } = await file();
    succeeded(await manager.addEntry('app.local'));
    const lines = (await read()).trimEnd().split('\n');
    const torn = [...lines.slice(0, -1), '10.0.0.9 after.corp', ''].join('\n');
    assert.match(lines.at(-1), /^#/);
    await writeFile(hostsPath, torn);
    const result = await manager.addEntry('b.local');
    const text = await read();
    assert.ok(text.includes('10.0.0.9 after.corp'), text);
    if (!result.success) assert.equal(text, torn);
  });

  test('a name that the user gave another address is not taken', async () => {
    const text = `${USERS}\n10.0.0.3 app.local\n`;
    const { manager, read } = await file(text);
    const { success, error } = await manager.addEntry('app.local');
    assert.equal(success, false);
    assert.match(error, /10\.0\.0\.3/);
    assert.equal(await read(), text);
  });

  test('it never throws, whatever it is given', async () => {
    const { manager, read } = await file();
    for (const wrong of [undefined, null, 1, NaN, Symbol('x'), 1n, () => {}, [], {}, { hostname: 1 }, Object.create(null)]) {
      for (const method of ['addEntry', 'addEntries', 'removeEntry', 'removeEntries']) {
        const result = await manager[method](wrong);
        // An empty list is one.
        const isEmpty = Array.isArray(wrong) && method.endsWith('ies');
        assert.equal(result.success, isEmpty, `${method} ${String(wrong?.constructor?.name)}`);
        if (!isEmpty) assert.equal(typeof result.error, 'string');
      }
    }
    assert.equal(await read(), USERS);
  });

  test('what is no configuration is refused', async () => {
    const { config } = await file();
    for (const wrong of [1, 'x', [], { ...config, hostsPath: 1 }, { ...config, localIp: 'x' }, { ...config, localIp: '10.0.0.1' }, { ...config, suffixes: 'x' }, { ...config, logChanges: 1 }]) {
      assert.throws(() => new HostsManager(wrong), { name: 'EdgeRouterError', code: 'INVALID_CONFIG' }, JSON.stringify(wrong));
    }
  });

  test('entries of another program stay while it runs, and go when it has ended', async () => {
    const { config, manager, read } = await file();
    const program = await startProgram(`
      const { success, error } = await new HostsManager(${JSON.stringify(config)}).addEntry('theirs.local');
      say(error ?? success);
      setInterval(() => {}, 1000);
    `);
    assert.equal(await program.hears(0), true);
    succeeded(await manager.addEntry('ours.local'));
    assert.deepEqual(manager.getEntries().map(entry => entry.hostname).sort(), ['ours.local', 'theirs.local']);
    succeeded(await manager.removeAllEntries());
    assert.deepEqual(manager.getEntries().map(entry => entry.hostname), ['theirs.local']);
    program.child.kill('SIGKILL');
    await program.ended();
    succeeded(await manager.removeAllEntries());
    assert.equal(await read(), USERS);
  });

  test('a router keeps the names of its routes there', async t => {
    const { config, read } = await file();
    const router = new LocalEdgeRouter({
      strategy: 'reverse-proxy',
      proxyPort: 0,
      baseDomain: 'mastra.local',
      enableHostsFile: 'required',
      hosts: { path: config.hostsPath, backupDir: config.backupDir },
      logRoutes: false,
      proxy: { drainTimeoutMs: 100 },
    });
    t.after(() => router.close());
    const route = { deploymentId: 'd', projectId: 'p', subdomain: 'app', targetHost: '127.0.0.1', targetPort: 1 };
    await router.registerRoute(route);
    const manager = router.getHostsManager();
    assert.equal(manager.hasEntry('app.mastra.local'), true);
    await router.cleanupHostsFile();
    assert.equal(await read(), USERS);
    await router.removeRoute('d');
    await router.registerRoute(route);
    assert.equal(manager.hasEntry('app.mastra.local'), true);
    await router.close();
    assert.equal(await read(), USERS);
  });
});

test('changes and errors are said on the console, where they are to be', async t => {
  const said = listenToConsole(t, '[HostsManager]');
  const { config, manager: silent } = await file();
  await silent.addEntry('silent.local');
  await silent.addEntry('example.com');
  assert.deepEqual(said, { info: [], error: [] });
  const manager = new HostsManager({ ...config, logChanges: true });
  await manager.addEntries(['a.local', 'b.local']);
  await manager.addEntry('a.local');
  await manager.removeEntry('a.local');
  await manager.restoreFromBackup();
  await manager.removeAllEntries();
  assert.deepEqual(said.info, [
    '[HostsManager] Added a.local, b.local',
    '[HostsManager] Removed a.local',
    '[HostsManager] Restored from backup',
    '[HostsManager] Removed all entries',
  ]);
  const { error } = await manager.addEntry('example.com');
  assert.deepEqual(said.error, [`[HostsManager] ${error}`]);
});
