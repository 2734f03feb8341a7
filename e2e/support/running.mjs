// `mastra-router run` and the background router it stands before, with all processes that come of it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { run, start, waitFor } from './process.mjs';
import { commandOf, listeningOf, ofRun, processOf, runs, stillListening } from './processes.mjs';
import { quiet } from './projects.mjs';

const binary = process.env.MASTRA_ROUTER_BIN ?? new URL('../../target/release/mastra-router', import.meta.url).pathname;
const terminal = new URL('../../crates/mastra-router-cli/tests/it/terminal.py', import.meta.url).pathname;

/** Whether the command under test knows a command of this name. */
export async function hasCommand(name) {
  return (await run(binary, [name, '--help'])).code === 0;
}

/** A person's own router, in the background, on a free port. */
export async function startBackground() {
  const home = await mkdtemp(path.join(tmpdir(), 'router-'));
  const env = { ...quiet, HOME: process.env.HOME, MASTRA_ROUTER_HOME: home };
  const router = {
    home,
    env,
    /** Runs a command; it has to succeed. Its stderr is kept apart. */
    async command(...args) {
      const ended = await run(binary, args, { env });
      assert.equal(ended.code, 0, `mastra-router ${args.join(' ')}: ${ended.stderr}`);
      return { stdout: ended.stdout, stderr: ended.stderr };
    },
    async start() {
      await router.command('start', '--listen', '127.0.0.1:0');
    },
    async pid() {
      return JSON.parse((await router.command('status', '--json')).stdout).pid;
    },
    async has(name) {
      return JSON.parse((await router.command('list', '--json')).stdout).some(route => route.subdomain === name);
    },
    /** Ends it as a crash does. */
    async kill() {
      const process = processOf(await router.pid());
      globalThis.process.kill(process.pid, 'SIGKILL');
      await waitFor('the end of the router', () => !runs(process));
    },
    async stop() {
      await run(binary, ['stop'], { env });
      await run(binary, ['prune'], { env });
      await rm(home, { recursive: true, force: true });
    },
  };
  await router.start();
  return router;
}

/** A command that stands before the router, as `run` and `up` do; in a terminal of its own where that is asked for. */
export async function startCommand(router, words, directory, { inTerminal = false } = {}) {
  const go = path.join(router.home, 'go');
  await rm(go, { force: true });
  const started = inTerminal
    ? start('python3', [terminal, `file ${go}\ntype \\x03`, binary, ...words], {
        cwd: directory,
        env: { ...router.env, TERMINAL_MOST: '240' },
      })
    : start(binary, words, { cwd: directory, env: router.env });
  const exited = once(started.child, 'exit');
  const shown = () => started.output.stdout + started.output.stderr;
  const hasEnded = () => started.child.exitCode !== null || started.child.signalCode !== null;
  // Below the terminal's program, which may be a script that looks for the right Python first.
  const candidates = () => (inTerminal ? ofRun({ pid: started.child.pid }) : [processOf(started.child.pid)]);
  const isIt = each => each && commandOf(each) === `${each.pid} ${[binary, ...words].join(' ')}`;
  const self = await waitFor('the command', () => {
    const found = candidates().find(isIt);
    if (!found && hasEnded()) throw new Error(shown());
    return found;
  });
  const seen = new Map();
  const sockets = new Map();

  return {
    shown,
    hasEnded,
    /** Looks at all processes and sockets that it has by now, and gives those that were seen until now. */
    look() {
      const processes = ofRun(self);
      for (const process of processes) seen.set(`${process.pid} ${process.start}`, process);
      for (const socket of listeningOf(processes)) sockets.set(socket.inode, socket);
      return { processes: seen.size, sockets: [...sockets.values()] };
    },
    signal(signal) {
      process.kill(self.pid, signal);
    },
    /** As a person at the terminal. */
    async typeCtrlC() {
      await writeFile(go, 'now\n');
    },
    /** The exit code, once it has ended. */
    async ended(within = 60_000) {
      const late = new Promise((_, reject) =>
        setTimeout(() => reject(new Error(`it does not end: ${shown()}`)), within).unref(),
      );
      const [code, signal] = await Promise.race([exited, late]);
      return code ?? signal;
    },
    /** What of it is left: processes and sockets. */
    left() {
      const processes = [...[...seen.values()].filter(runs), ...ofRun(self)];
      const ports = stillListening([...sockets.values()]).map(({ port }) => `port ${port}`);
      return [...new Set(processes.map(commandOf)), ...ports];
    },
    /** Ends what is still there after a test has failed. */
    async stop() {
      if (runs(self)) process.kill(self.pid, 'SIGTERM');
      await waitFor('the end of the command', () => !runs(self), 20_000).catch(() => {});
      await started.stop();
    },
  };
}

/** Where a project of a command is reached, once it has its name. */
export async function siteOf(running, router, name, directory) {
  await waitFor(`the name ${name}`, () => running.hasEnded() || router.has(name), 120_000);
  assert.equal(running.hasEnded(), false, running.shown());
  const url = (await router.command('url', name)).stdout.trim();
  return { directory, at: where => url + where, hasEnded: running.hasEnded, shown: running.shown };
}

/** After something was killed: all that is left of it goes with `prune`, once. */
export async function prunes(router, running) {
  const { stdout } = await router.command('prune');
  assert.deepEqual(running.left(), [], stdout);
  const again = await router.command('prune');
  assert.deepEqual([again.stdout, again.stderr], ['', 'nothing is left behind\n']);
}
