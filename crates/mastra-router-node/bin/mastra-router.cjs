#!/usr/bin/env node
// The command `mastra-router`: finds its binary, and is the binary as far as anyone can tell.
'use strict';

const { spawn } = require('node:child_process');
const { existsSync } = require('node:fs');
const path = require('node:path');
const { isatty } = require('node:tty');

/** Signals that are passed on. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'];
/** Of those, the ones that a terminal sends to all of its foreground programs. */
const OF_TERMINAL = ['SIGINT', 'SIGQUIT'];
const SUPPORTED = ['linux-x64-gnu', 'linux-arm64-gnu', 'darwin-x64', 'darwin-arm64'];

main();

function main() {
  const { binary, problem } = find();
  if (!binary) return fail(problem);
  // Before the binary runs: a signal must not end this process and leave the binary behind.
  let child;
  const passOn = signal => {
    // The binary has it from the terminal, and would take a second one for impatience.
    if (OF_TERMINAL.includes(signal) && [0, 1, 2].some(isatty)) return;
    child.kill(signal);
  };
  for (const signal of SIGNALS) process.on(signal, passOn);
  child = spawn(binary, process.argv.slice(2), { stdio: 'inherit' });
  child.once('error', error => {
    fail(`${binary} does not run: ${error.message}. Install @mastra/router-local again, or name a binary in MASTRA_ROUTER_BIN.`);
  });
  child.once('exit', (code, signal) => {
    if (signal === null) return process.exit(code);
    for (const name of SIGNALS) process.off(name, passOn);
    process.kill(process.pid, signal);
  });
}

/** The path of the binary, or why there is none and what to do. */
function find() {
  const named = process.env.MASTRA_ROUTER_BIN;
  if (named) {
    return existsSync(named)
      ? { binary: named }
      : { problem: `MASTRA_ROUTER_BIN names ${named}, which does not exist. Correct it, or unset it.` };
  }
  const platform = [process.platform, process.arch, ...(process.platform === 'linux' ? ['gnu'] : [])].join('-');
  const name = `@mastra/router-local-${platform}`;
  try {
    return { binary: require.resolve(`${name}/mastra-router`) };
  } catch {
    // Not installed; in a checkout it never is.
  }
  const built = path.join(__dirname, '..', '..', '..', 'target', 'release', 'mastra-router');
  if (existsSync(built)) return { binary: built };
  return {
    problem: SUPPORTED.includes(platform)
      ? `the package ${name} is not installed, and it holds the command. Install it with: npm install ${name}@${version()} ` +
        '(package managers leave it out with --omit=optional or --no-optional).'
      : `there is no package ${name}: this platform is not supported. Build the command from its source, ` +
        'with cargo build --release, and name it in MASTRA_ROUTER_BIN.',
  };
}

function version() {
  return require('../package.json').version;
}

function fail(problem) {
  process.stderr.write(`mastra-router: ${problem}\n`);
  process.exitCode = 1;
}
