// The command of the package: it finds the binary, and is the binary as far as anyone can tell.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';

import { temporary } from './support/directory.mjs';
import { here, platform } from './support/project.mjs';
import { within } from './support/waiting.mjs';

const command = path.join(here, 'bin', 'mastra-router.cjs');

/** A program in the place of the binary. */
async function standIn(text, mode = 0o755) {
  const file = path.join(await temporary(), 'stand in');
  await writeFile(file, `#!/bin/sh\n${text}\n`, { mode });
  return file;
}

/** Starts the command, and keeps what it prints. */
function start(t, args, { binary = '', file = command } = {}) {
  const child = spawn(process.execPath, [file, ...args], { env: { ...process.env, MASTRA_ROUTER_BIN: binary } });
  t.after(() => child.kill('SIGKILL'));
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) child[name].setEncoding('utf8').on('data', text => (output[name] += text));
  const ended = within('the end of the command', once(child, 'close')).then(([code, signal]) => ({ code, signal, ...output }));
  return { child, ended, printed: () => within('output', once(child.stdout, 'data')) };
}

test('arguments, standard input and both outputs are those of the binary', async t => {
  const binary = await standIn('printf "%s|" "$@"; cat; echo wrong >&2');
  const { child, ended } = start(t, ['add', 'a b', '', '*', '--', '-x'], { binary });
  child.stdin.end('from outside');
  assert.deepEqual(await ended, { code: 0, signal: null, stdout: 'add|a b||*|--|-x|from outside', stderr: 'wrong\n' });
});

test('the exit status is that of the binary', async t => {
  for (const code of [0, 1, 2, 77, 255]) {
    const { ended } = start(t, [], { binary: await standIn(`exit ${code}`) });
    assert.deepEqual(await ended, { code, signal: null, stdout: '', stderr: '' });
  }
});

test('a binary that a signal ends is a command that the signal ends', async t => {
  for (const signal of ['TERM', 'KILL', 'INT', 'HUP']) {
    const { ended } = start(t, [], { binary: await standIn(`kill -${signal} $$`) });
    assert.deepEqual(await ended, { code: null, signal: `SIG${signal}`, stdout: '', stderr: '' });
  }
});

test('signals reach the binary, which decides what becomes of them', async t => {
  for (const signal of ['TERM', 'INT', 'HUP', 'QUIT', 'USR2']) {
    // It ends with its standard input, too, and so is not left behind.
    const binary = await standIn([
      `exec '${process.execPath}' -e '`,
      `process.on("SIG${signal}", () => { console.info("got ${signal}"); process.exitCode = 7; process.stdin.destroy(); });`,
      `process.stdin.resume(); console.info("ready");'`,
    ].join(''));
    const { child, ended, printed } = start(t, [], { binary });
    await printed();
    child.kill(`SIG${signal}`);
    assert.deepEqual(await ended, { code: 7, signal: null, stdout: `ready\ngot ${signal}\n`, stderr: '' });
  }
});

test('a binary that is not there, or does not run, is named with what to do', async t => {
  const missing = path.join(await temporary(), 'nothing');
  const { code, stdout, stderr } = await start(t, ['--version'], { binary: missing }).ended;
  assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
  assert.equal(stderr, `mastra-router: MASTRA_ROUTER_BIN names ${missing}, which does not exist. Correct it, or unset it.\n`);

  const binary = await standIn('exit 0', 0o644);
  const refused = await start(t, [], { binary }).ended;
  // The superuser may not execute it either.
  assert.equal(refused.code, 1);
  assert.ok(refused.stderr.startsWith(`mastra-router: ${binary} does not run: `), refused.stderr);
});

test("the binary of the platform's package is used where it is installed", async t => {
  const directory = await temporary();
  const scope = path.join(directory, 'node_modules', '@mastra');
  const file = path.join(scope, 'router-local', 'bin', 'mastra-router.cjs');
  await mkdir(path.dirname(file), { recursive: true });
  await copyFile(command, file);
  await copyFile(path.join(here, 'package.json'), path.join(scope, 'router-local', 'package.json'));
  const absent = await start(t, [], { file }).ended;
  assert.equal(absent.code, 1);
  assert.match(absent.stderr, new RegExp(`@mastra/router-local-${platform} is not installed`));

  const native = path.join(scope, `router-local-${platform}`);
  await mkdir(native);
  await writeFile(path.join(native, 'mastra-router'), '#!/bin/sh\necho from the package\n', { mode: 0o755 });
  assert.equal((await start(t, [], { file }).ended).stdout, 'from the package\n');
  const named = await standIn('echo named');
  assert.equal((await start(t, [], { file, binary: named }).ended).stdout, 'named\n', 'what is named goes first');
});
