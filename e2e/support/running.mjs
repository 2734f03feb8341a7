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

/** `run` with a project, once it answers; in a terminal of its own where that is asked for. */
export async function startRun(router, name, project, directory, { inTerminal = false, words, options = [] } = {}) {
  const args = words ?? ['run', name, ...options, '--', ...project.command];
  const go = path.join(router.home, `${name}.go`);
  await rm(go, { force: true });
  const started = inTerminal
    ? start('python3', [terminal, `file ${go}\ntype \\x03`, binary, ...args], { cwd: directory, env: { ...router.env, TERMINAL_MOST: '240' } })
    : start(binary, args, { cwd: directory, env: router.env });
  const exited = once(started.child, 'exit');
  const shown = () => started.output.stdout + started.output.stderr;
  // Below the terminal's program, which may be a script that looks for the right Python first.
  const candidates = () => (inTerminal ? ofRun({ pid: started.child.pid }) : [processOf(started.child.pid)]);
  const isRun = each => each && commandOf(each).startsWith(`${each.pid} ${binary} run `);
  const self = await waitFor('the process of run', () => candidates().find(isRun));
  const seen = new Map();
  const sockets = new Map();

  const running = {
    self,
    directory,
    shown,
    at: undefined,
    /** Looks where it is, and at all processes and sockets that it has by now. */
    async look() {
      const url = (await router.command('url', name)).stdout.trim();
      running.at = where => url + where;
      const processes = ofRun(self);
      for (const process of processes) seen.set(`${process.pid} ${process.start}`, process);
      for (const socket of listeningOf(processes)) sockets.set(socket.inode, socket);
      return { processes: seen.size, sockets: [...sockets.values()] };
    },
    async signal(signal) {
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
    hasEnded: () => started.child.exitCode !== null || started.child.signalCode !== null,
    /** Ends what is still there after a test has failed. */
    async stop() {
      if (runs(self)) process.kill(self.pid, 'SIGTERM');
      await waitFor('the end of run', () => !runs(self), 20_000).catch(() => {});
      await started.stop();
    },
  };
  await waitFor(
    `run of ${name} to take its name`,
    async () => {
      if (started.child.exitCode !== null) return true;
      return router.has(name);
    },
    120_000,
  );
  assert.equal(started.child.exitCode, null, shown());
  return running;
}
