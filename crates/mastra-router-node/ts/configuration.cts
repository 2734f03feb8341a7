import { homedir } from 'node:os';

import { boolean, count, object, oneOf, optional, port, settings, string, strings, time, type Check } from './arguments.cjs';
import type { NativeConfig } from '../native.cjs';
import type { LocalEdgeRouterConfig } from './types.cjs';

type Of<K extends keyof LocalEdgeRouterConfig> = NonNullable<LocalEdgeRouterConfig[K]>;

const CONFIG: { [K in keyof LocalEdgeRouterConfig]-?: Check } = {
  strategy: optional(oneOf('port-mapping', 'reverse-proxy')),
  baseDomain: optional(string),
  portRange: optional(object),
  proxyPort: optional(port),
  healthCheck: optional(object),
  enableHostsFile: optional(oneOf(true, false, 'required')),
  hosts: optional(object),
  enableTls: optional(boolean),
  tls: optional(object),
  logRoutes: optional(boolean),
  localhostUrls: optional(oneOf('path', 'subdomain')),
  listen: optional(strings),
  allowRemoteTargets: optional(boolean),
  stateDir: optional(string),
  leaseDir: optional(string),
  proxy: optional(object),
};

/** A router's configuration, checked. */
export interface Configuration {
  given: LocalEdgeRouterConfig;
  native: NativeConfig;
}

/** Reads a router's configuration; what is not known is left alone. */
export function readConfiguration(config: unknown): Configuration {
  const given = settings<LocalEdgeRouterConfig>('', config ?? {}, CONFIG);
  const range = given.portRange && settings<Of<'portRange'>>('portRange', given.portRange, { start: port, end: port });
  const health = settings<Of<'healthCheck'>>('healthCheck', given.healthCheck ?? {}, {
    path: optional(string),
    intervalMs: optional(time),
    timeoutMs: optional(time),
    failureThreshold: optional(count),
  });
  const hosts = settings<Of<'hosts'>>('hosts', given.hosts ?? {}, {
    path: optional(string),
    backupDir: optional(string),
  });
  const tls = settings<Of<'tls'>>('tls', given.tls ?? {}, {
    certDir: optional(string),
    validityDays: optional(count),
    cert: optional(string),
    key: optional(string),
    redirectHttp: optional(boolean),
  });
  const proxy = settings<Of<'proxy'>>('proxy', given.proxy ?? {}, {
    threads: optional(count),
    restartGraceMs: optional(time),
    startTimeoutMs: optional(time),
    connectTimeoutMs: optional(time),
    drainTimeoutMs: optional(time),
    maxConnections: optional(count),
  });
  const native: NativeConfig = {
    strategy: given.strategy,
    baseDomain: given.baseDomain,
    portStart: range?.start,
    portEnd: range?.end,
    proxyPort: given.proxyPort,
    healthPath: health.path,
    healthIntervalMs: health.intervalMs,
    healthTimeoutMs: health.timeoutMs,
    failureThreshold: health.failureThreshold,
    hostsMode: hostsMode(given.enableHostsFile),
    hostsPath: home(hosts.path),
    backupDir: home(hosts.backupDir),
    enableTls: given.enableTls,
    certDir: home(tls.certDir),
    validityDays: tls.validityDays,
    cert: home(tls.cert),
    key: home(tls.key),
    redirectHttp: tls.redirectHttp,
    stateDir: home(given.stateDir),
    localhostUrls: given.localhostUrls,
    listen: given.listen,
    allowRemoteTargets: given.allowRemoteTargets,
    leaseDir: home(given.leaseDir),
    ...proxy,
  };
  return { given, native };
}

function hostsMode(enabled: LocalEdgeRouterConfig['enableHostsFile']): string | undefined {
  if (enabled === undefined) return undefined;
  return enabled === 'required' ? 'required' : enabled ? 'best-effort' : 'off';
}

/** A path with `~` for the home directory, as the defaults are written. */
export function home(path: string | undefined): string | undefined {
  if (path === undefined || (path !== '~' && !path.startsWith('~/'))) return path;
  return homedir() + path.slice(1);
}
