// PortManager: free ports, each given out once among all processes of a user.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { describe, test } from 'node:test';

import { temporary } from './support/directory.mjs';
import { LocalEdgeRouter, PortManager } from './support/package.mjs';
import { freeRange, listen } from './support/ports.mjs';
import { run } from './support/program.mjs';
import { within } from './support/waiting.mjs';

const program = path.join(import.meta.dirname, 'support', 'allocating.mjs');

/** A manager of `count` ports that are free, with leases of its own. */
async function managed(count) {
  const [start, leaseDir] = [await freeRange(count), await temporary()];
  const config = { start, end: start + count - 1, leaseDir };
  return { config, start, manager: new PortManager(config) };
}

describe('ports', { concurrency: true }, () => {
  test('the lowest free port is first', async () => {
    const { manager, start } = await managed(3);
    assert.equal(await manager.allocate(), start);
    assert.equal(await manager.allocate(), start + 1);
    assert.deepEqual(manager.getAllocated(), [start, start + 1]);
  });

  test('a released port is given out again', async () => {
    const { manager, start } = await managed(3);
    for (let n = 0; n < 3; n += 1) await manager.allocate();
    assert.equal(manager.release(start + 1), undefined);
    assert.deepEqual(manager.getAllocated(), [start, start + 2]);
    assert.equal(await manager.allocate(), start + 1);
    assert.deepEqual(manager.getAllocated(), [start, start + 2, start + 1]);
    // One that was not taken is no error.
    manager.release(1);
  });

  test('concurrent allocations give different ports', async () => {
    const { manager, start } = await managed(8);
    const ports = await Promise.all(Array.from({ length: 8 }, () => manager.allocate()));
    assert.deepEqual(ports.toSorted((a, b) => a - b), Array.from({ length: 8 }, (_, n) => start + n));
  });

  test('an exhausted range is said in the words of the seed, with who holds it in the hint', async t => {
    const { manager, start } = await managed(2);
    await listen(t, start);
    await manager.allocate();
    const error = await manager.allocate().then(() => assert.fail('a third port'), thrown => thrown);
    assert.equal(error.name, 'EdgeRouterError');
    assert.equal(error.code, 'NO_PORT_AVAILABLE');
    assert.equal(error.message, `No available ports in range ${start}-${start + 1}`);
    assert.match(error.hint, new RegExp(`${start}.*${start + 1}`, 's'));
  });

  test('a port that is listened on is not given out', async t => {
    const { manager, start } = await managed(2);
    const { close } = await listen(t, start);
    assert.equal(await manager.isPortAvailable(start), false);
    assert.equal(await manager.reserve(start), false);
    assert.equal(await manager.allocate(), start + 1);
    await close();
    assert.equal(await manager.isPortAvailable(start), true);
    assert.equal(await manager.allocate(), start);
  });

  for (const host of ['::1', '0.0.0.0', '::']) {
    test(`a port that only ${host} is listened on at is taken`, async t => {
      const { manager, start } = await managed(2);
      await listen(t, start, host);
      assert.equal(await manager.isPortAvailable(start), false);
      assert.equal(await manager.reserve(start), false);
      assert.equal(await manager.allocate(), start + 1);
    });
  }

  test('a port is reserved once, be it of the range or not', async () => {
    const { manager, start } = await managed(2);
    const outside = await freeRange(1);
    assert.equal(await manager.reserve(start), true);
    assert.equal(await manager.reserve(start), false);
    assert.equal(await manager.isPortAvailable(start), false);
    assert.equal(await manager.reserve(outside), true);
    assert.equal(await manager.allocate(), start + 1);
    assert.deepEqual(manager.getAllocated(), [start, outside, start + 1]);
    manager.release(start);
    assert.equal(await manager.reserve(start), true);
  });

  test('managers of one directory never give the same port', async () => {
    const { manager, config, start } = await managed(4);
    const other = new PortManager(config);
    const ports = await Promise.all([manager, other, manager, other].map(each => each.allocate()));
    assert.deepEqual(ports.toSorted((a, b) => a - b), [start, start + 1, start + 2, start + 3]);
    assert.equal(await other.reserve(manager.getAllocated()[0]), false);
    // What another one has is not this one's to give back.
    other.release(manager.getAllocated()[0]);
    assert.equal(await other.isPortAvailable(manager.getAllocated()[0]), false);
  });

  test('a router gives out ports of its range from the same leases', async t => {
    const { manager, config, start } = await managed(2);
    const router = new LocalEdgeRouter({ portRange: config, leaseDir: config.leaseDir, logRoutes: false });
    t.after(() => router.close());
    assert.equal(await manager.allocate(), start);
    assert.equal(await router.allocatePort(), start + 1);
    await router.close();
    assert.equal(await manager.allocate(), start + 1);
  });

  test('processes that allocate at once never get the same port, and leave them when they end', async t => {
    const { manager, config, start } = await managed(12);
    const processes = [1, 2, 3].map(() => allocating(t, config, 4));
    const ports = await Promise.all(processes.map(each => each.ports()));
    const all = ports.flat().toSorted((a, b) => a - b);
    assert.deepEqual(all, Array.from({ length: 12 }, (_, n) => start + n));
    await assert.rejects(manager.allocate(), { code: 'NO_PORT_AVAILABLE' });
    await processes[0].end('SIGKILL');
    assert.ok(ports[0].includes(await manager.allocate()));
    await Promise.all(processes.slice(1).map(each => each.end()));
    for (let n = 0; n < 11; n += 1) await manager.allocate();
    assert.equal(manager.getAllocated().length, 12);
  });

  test('a port stays taken when its manager is collected', async () => {
    const { config } = await managed(1);
    const { said, errors } = await run(
      `
        const config = ${JSON.stringify(config)};
        const port = await (async () => new PortManager(config).allocate())();
        for (let n = 0; n < 20; n += 1) {
          gc();
          await new Promise(resolve => setImmediate(resolve));
        }
        say(await new PortManager(config).isPortAvailable(port));
      `,
      { args: ['--expose-gc'] },
    );
    assert.deepEqual(said, [false], errors);
  });

  test('ranges that are none are refused', () => {
    for (const [start, end] of [[2, 1], [0, 10], [1, 65_536], [-1, 1], [1.5, 2], [NaN, 2], ['1', '2'], [undefined, 1]]) {
      assert.throws(() => new PortManager({ start, end }), { name: 'EdgeRouterError', code: 'INVALID_CONFIG' }, `${start}-${end}`);
    }
  });
});

/** A process that allocates ports, says which, and keeps them until its input ends. */
function allocating(t, config, count) {
  const child = spawn(process.execPath, [program, JSON.stringify(config), String(count)], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const ended = once(child, 'close');
  let output = '';
  child.stdout.setEncoding('utf8').on('data', chunk => (output += chunk));
  return {
    async ports() {
      while (!output.includes('\n')) {
        await within('ports of another process', Promise.race([once(child.stdout, 'data'), ended.then(() => assert.fail('it ended'))]));
      }
      return JSON.parse(output);
    },
    async end(signal) {
      if (signal) child.kill(signal);
      else child.stdin.end();
      await within('the end of another process', ended);
    },
  };
}
