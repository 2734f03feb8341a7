// Everything that is exported, called with what it does not expect: an error of ours each, never the end of the process.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';

import { temporary } from './support/directory.mjs';

const program = path.join(import.meta.dirname, 'support', 'hostile.mjs');

describe('hostile calls', { concurrency: 2 }, () => {
  for (const part of [
    'LocalEdgeRouter made',
    'LocalEdgeRouter used',
    'LocalEdgeRouter connected',
    'LocalEdgeRouter closed',
    'RouteRegistry',
    'PortManager',
    'HealthChecker',
    'ProxyServer',
    'HostsManager',
    'TLSManager',
    'EdgeRouterError',
  ]) {
    test(`${part}: errors of ours, and the process goes on`, async t => {
      const directory = await temporary();
      const home = path.join(directory, 'home');
      await mkdir(home);
      // In a directory of its own: a path that is a word is a file there.
      const child = spawn(process.execPath, [program, directory, part], {
        cwd: directory,
        env: { ...process.env, HOME: home, MASTRA_ROUTER_HOME: path.join(home, 'router') },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      t.after(() => child.kill('SIGKILL'));
      const output = { stdout: '', stderr: '' };
      for (const name of ['stdout', 'stderr']) child[name].setEncoding('utf8').on('data', chunk => (output[name] += chunk));
      const [code, signal] = await once(child, 'close');
      assert.deepEqual([code, signal], [0, null], output.stderr);
      const { calls, faults, works, polluted } = JSON.parse(output.stdout.split('\n').at(-1));
      assert.deepEqual(faults, []);
      assert.ok(calls > 20, String(calls));
      assert.equal(works, true);
      assert.deepEqual(polluted, []);
    });
  }
});
