// This package's reverse proxy beside http-proxy 1.18, each in a Node program of the same shape, before the same target
// and under the same load, turn by turn.
//
//   npm run bench -- [--rounds 5] [--secs 2] [--json] [--out FILE]
import { execFile, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

import { summarize, table } from './report.mjs';

const { values: given } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    secs: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
});
const rounds = Number(given.rounds);
const seconds = Number(given.secs);

const PROXIES = ['router-local', 'http-proxy'];
const WARM_UP_SECONDS = 0.5;
const SCENARIOS = [
  { name: 'idle', connections: 0 },
  { name: 'GET, 1 connection', path: '/', connections: 1 },
  { name: 'GET, 16 connections', path: '/', connections: 16 },
  { name: 'GET, 64 connections', path: '/', connections: 64 },
  { name: 'GET of 64 KiB, 16 connections', path: '/large', connections: 16 },
  { name: '100 events a second to 64 readers', path: '/events', connections: 64 },
];

const file = name => fileURLToPath(new URL(name, import.meta.url));
const launch = promisify(execFile);
const wrk = versionOfWrk();
const children = [];

const target = await start('target.mjs');
const proxies = {};
for (const name of PROXIES) proxies[name] = await start('proxied.mjs', name, String(target.port));

const loadBefore = os.loadavg()[0];
const measured = [];
for (let round = 0; round < rounds; round += 1) {
  for (const scenario of SCENARIOS) {
    // Neither is always the first.
    for (const name of round % 2 === 0 ? PROXIES : PROXIES.toReversed()) {
      measured.push({ round, scenario: scenario.name, proxy: name, ...(await measure(proxies[name], scenario)) });
      process.stderr.write('.');
    }
  }
}
process.stderr.write('\n');
for (const child of children) child.disconnect();

const result = {
  machine: { cpu: os.cpus()[0].model, cores: os.cpus().length, system: `${os.type()} ${os.release()}`, loadBefore },
  node: process.version,
  generator: { requests: wrk ?? 'bench/sockets.mjs', streams: 'bench/sockets.mjs' },
  rounds,
  seconds,
  summary: summarize(measured, SCENARIOS.map(scenario => scenario.name), PROXIES),
  measured,
};
if (given.out) writeFileSync(given.out, `${JSON.stringify(result, null, 2)}\n`);
console.info(given.json ? JSON.stringify(result, null, 2) : table(result));

/** One proxy under one load: what it got through, and what that took. */
async function measure(proxy, scenario) {
  if (scenario.connections > 0) await load(proxy.port, scenario, WARM_UP_SECONDS);
  await proxy.ask('begin');
  const { count, failures } = await load(proxy.port, scenario, seconds);
  const used = await proxy.ask('end');
  if (failures > 0) throw new Error(`${failures} of ${count} answers failed: ${scenario.name}`);
  return { count, perSecond: count / used.seconds, cpuMicros: count > 0 ? (used.cpuSeconds / count) * 1e6 : null, ...used };
}

async function load(port, { path, connections }, duration) {
  if (connections === 0) {
    await new Promise(resolve => setTimeout(resolve, duration * 1000));
    return { count: 0, failures: 0 };
  }
  if (!wrk || path === '/events') {
    const args = [file('sockets.mjs'), String(port), path, String(connections), String(duration)];
    return JSON.parse((await launch(process.execPath, args)).stdout);
  }
  // It takes whole seconds only.
  const args = ['-t1', `-c${connections}`, `-d${Math.max(1, Math.round(duration))}s`, '-H', `Host: bench.localhost:${port}`];
  const { stdout } = await launch('wrk', [...args, `http://127.0.0.1:${port}${path}`]);
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(stdout)?.slice(1) ?? [];
  const wrong = /Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? 0;
  return {
    count: Number(/(\d+) requests in/.exec(stdout)[1]),
    failures: [...errors, wrong].reduce((sum, each) => sum + Number(each), 0),
  };
}

async function start(name, ...args) {
  const child = fork(file(name), args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv: ['--no-deprecation'] });
  children.push(child);
  const ask = async message => {
    child.send(message);
    return (await once(child, 'message'))[0];
  };
  const [{ port }] = await once(child, 'message');
  return { port, ask };
}

function versionOfWrk() {
  try {
    execFileSync('wrk', ['--version'], { stdio: 'pipe' });
  } catch (error) {
    // It says its version with exit status 1.
    return error.code === 'ENOENT' ? undefined : String(error.stdout).split(' [')[0];
  }
  return 'wrk';
}
