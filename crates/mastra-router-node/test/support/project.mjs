// Projects that use the package by its name, as it is published: laid out by scripts/pack.mjs, in a directory of their own.
import { execFile } from 'node:child_process';
import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { temporary } from './directory.mjs';

export const here = fileURLToPath(new URL('../../', import.meta.url));
export const platform = [process.platform, process.arch, ...(process.platform === 'linux' ? ['gnu'] : [])].join('-');
const tsc = path.join(here, 'node_modules', 'typescript', 'bin', 'tsc');
const launch = promisify(execFile);

/** Runs a program to its end; it has two minutes, and a home of its own with `env`. */
export async function run(program, args, { cwd, env } = {}) {
  const options = { cwd, env: { ...process.env, ...env }, timeout: 120_000, killSignal: 'SIGKILL', maxBuffer: 1 << 26 };
  try {
    return { code: 0, ...(await launch(program, args, options)) };
  } catch (error) {
    if (error.stdout === undefined) throw error;
    return { code: error.code, signal: error.signal, stdout: error.stdout, stderr: error.stderr };
  }
}

/** The same of a program that has to succeed. */
export async function succeed(program, args, options) {
  const result = await run(program, args, options);
  if (result.code === 0) return result;
  throw new Error(`${program} ${args.join(' ')}: ${result.code ?? result.signal}\n${result.stdout}${result.stderr}`);
}

/** The directories that are published: `package`, and that of this machine's platform. */
export async function layOut(...args) {
  const out = await temporary();
  await succeed(process.execPath, [path.join(here, 'scripts', 'pack.mjs'), '--out', out, ...args]);
  return { main: path.join(out, 'package'), native: path.join(out, platform) };
}

/** A project of ES modules that has the package in its `node_modules`; the addon is not copied, for it is large. */
export async function project() {
  const directory = await temporary();
  const { main } = await layOut('--only', 'package');
  const scope = path.join(directory, 'node_modules', '@mastra');
  await cp(main, path.join(scope, 'router-local'), { recursive: true });
  const native = path.join(scope, `router-local-${platform}`);
  await mkdir(native);
  await cp(path.join(here, 'npm', platform, 'package.json'), path.join(native, 'package.json'));
  const addon = `router-local.${platform}.node`;
  await symlink(path.join(here, addon), path.join(native, addon));
  await writeFile(path.join(directory, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  return directory;
}

/** Lets TypeScript find Node's types from a project. */
export async function addNodeTypes(directory) {
  const modules = path.join(directory, 'node_modules');
  await mkdir(path.join(modules, '@types'), { recursive: true });
  await symlink(path.join(here, 'node_modules', '@types', 'node'), path.join(modules, '@types', 'node'));
  await symlink(path.join(here, 'node_modules', 'undici-types'), path.join(modules, 'undici-types'));
}

/** Compiles files of a project, strictly and with all declarations checked; gives the compiler's complaints. */
export async function compile(directory, include, options = {}) {
  const file = path.join(directory, `tsconfig.${compiled++}.json`);
  const compilerOptions = {
    target: 'es2022',
    lib: ['es2023', 'esnext.disposable'],
    module: 'nodenext',
    strict: true,
    skipLibCheck: false,
    types: ['node'],
    noEmit: true,
    ...options,
  };
  await writeFile(file, JSON.stringify({ compilerOptions, include }));
  const { stdout, stderr } = await run(process.execPath, [tsc, '--project', file], { cwd: directory });
  return (stdout + stderr).trim();
}

let compiled = 0;
