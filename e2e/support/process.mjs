// Child processes that end with the test, and waiting for facts instead of for a while.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const running = new Set();

// What a crashed test leaves behind would keep ports and processors busy.
process.on('exit', () => running.forEach(child => signalGroup(child, 'SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

/** Starts a program in a process group of its own and keeps what it prints. */
export function start(program, args, { cwd, env } = {}) {
  const child = spawn(program, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  running.add(child);
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', text => {
      output[name] += text;
      child.emit('printed');
    });
  }
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      running.delete(child);
      child.emit('printed');
      resolve({ code, signal, ...output });
    });
  });
  ended.catch(() => running.delete(child));

  return {
    child,
    output,
    ended,
    /** Resolves once `find(stdout)` gives something; throws with all output when the program ends before. */
    async printed(find) {
      for (;;) {
        const found = find(output.stdout);
        if (found) return found;
        if (child.exitCode !== null || child.signalCode !== null) {
          throw new Error(`${program} ${args.join(' ')} ended (${child.exitCode ?? child.signalCode})\n${output.stdout}${output.stderr}`);
        }
        await once(child, 'printed');
      }
    },
    /** Asks the program to end, and makes its whole group end when it does not or leaves children. */
    async stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      const late = setTimeout(() => signalGroup(child, 'SIGKILL'), 15_000);
      const result = await ended.catch(() => undefined);
      clearTimeout(late);
      signalGroup(child, 'SIGKILL');
      return result;
    },
  };
}

/** Runs a program to its end. */
export function run(program, args, options) {
  return start(program, args, options).ended;
}

/** Asks until `check` gives something; what it throws counts as not yet. */
export async function waitFor(what, check, within = 90_000) {
  const deadline = performance.now() + within;
  let last;
  do {
    try {
      const found = await check();
      if (found) return found;
      last = found;
    } catch (error) {
      last = error;
    }
    await new Promise(resolve => setTimeout(resolve, 20));
  } while (performance.now() < deadline);
  throw new Error(`still waiting after ${within} ms for: ${what} (last: ${last?.stack ?? last})`);
}

function signalGroup(child, signal) {
  try {
    if (child.pid) process.kill(-child.pid, signal);
  } catch {
    // Nobody is left in the group.
  }
}
