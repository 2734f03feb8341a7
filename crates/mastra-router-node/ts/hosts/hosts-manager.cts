import { boolean, field, isObject, optional, settings, string, strings, type Check } from '../arguments.cjs';
import { home } from '../configuration.cjs';
import { call, EdgeRouterError, fromNative } from '../error.cjs';
import native = require('../native.cjs');
import { installWarnings } from '../warnings.cjs';

export interface HostsManagerConfig {
  /** @default the system's hosts file */
  hostsPath?: string;
  /** Directory of copies of the file as it was, the last ten. @default '~/.mastra/hosts-backups' */
  backupDir?: string;
  /** Address of the names, a loopback address. With 127.0.0.1 names have ::1, too. @default '127.0.0.1' */
  localIp?: string;
  /** Say changes on the console. @default true */
  logChanges?: boolean;
  /** Domains that names may lie under, beside `localhost`, `test`, `internal` and `local`. @default none */
  suffixes?: string[];
  /** Whose the entries are. @default this program's, for as long as it runs */
  owner?: string;
}

/** A name and its address in our block of the hosts file. */
export interface HostsEntry {
  hostname: string;
  ip: string;
}

/** An entry to be added: a name, or a name with the address that is asked for. */
export type NewHostsEntry = string | { hostname: string; ip?: string };

export interface HostsResult {
  success: boolean;
  /** What went wrong, and what to do. The file is then as it was. */
  error?: string;
  /** The copy of the file as it was before. */
  backupPath?: string;
}

const CONFIG: { [K in keyof HostsManagerConfig]-?: Check } = {
  hostsPath: optional(string),
  backupDir: optional(string),
  localIp: optional(string),
  logChanges: optional(boolean),
  suffixes: optional(strings),
  owner: optional(string),
};

/**
 * Names in the hosts file: in a block of its own, with every other byte of the file left as it is.
 *
 * Each change is made whole or not at all, also among processes. Entries stay when the program ends; later programs may
 * remove them, and those of a program that runs only it may.
 */
export class HostsManager {
  readonly #native: native.NativeHosts;
  readonly #logs: boolean;
  readonly #localIp: string;

  constructor(config?: HostsManagerConfig);
  /** That of a router. @internal */
  constructor(config: HostsManagerConfig, of: native.NativeHosts);
  constructor(config: HostsManagerConfig = {}, of?: native.NativeHosts) {
    const given = settings<HostsManagerConfig>('', config, CONFIG);
    this.#logs = given.logChanges ?? true;
    installWarnings(this.#logs);
    this.#localIp = given.localIp ?? '127.0.0.1';
    this.#native = call(
      () =>
        of ??
        new native.NativeHosts({
          hostsPath: home(given.hostsPath),
          backupDir: home(given.backupDir),
          localIp: given.localIp,
          suffixes: ['local', ...(given.suffixes ?? [])],
          owner: given.owner,
        }),
    );
  }

  addEntry(entry: NewHostsEntry): Promise<HostsResult> {
    return this.addEntries([entry]);
  }

  /** Adds all of them, or none. */
  addEntries(entries: NewHostsEntry[]): Promise<HostsResult> {
    return this.#change('Added', async () => {
      const names = this.#names(entries);
      return { names, change: await this.#native.add(names) };
    });
  }

  removeEntry(hostname: string): Promise<HostsResult> {
    return this.removeEntries([hostname]);
  }

  /** Names that are not there are no error. */
  removeEntries(hostnames: string[]): Promise<HostsResult> {
    return this.#change('Removed', async () => {
      const names = this.#names(hostnames);
      return { names, change: await this.#native.remove(names) };
    });
  }

  /** Removes all entries of this program, and of those that have ended. */
  removeAllEntries(): Promise<HostsResult> {
    return this.#change('Removed all entries', async () => ({ names: [], change: await this.#native.removeAll() }));
  }

  /**
   * Puts a copy of the file back: the newest, or the one that a result named as `backupPath`. What the file is now becomes a
   * copy, so that this can be undone.
   */
  restoreFromBackup(backupPath?: string): Promise<HostsResult> {
    return this.#change('Restored from backup', async () => {
      field('backupPath', backupPath, optional(string));
      return { names: [], change: await this.#native.restore(backupPath) };
    });
  }

  /** The names of our block, each once: with `localIp` where it has that. Throws `HOSTS_FILE` where it cannot be read. */
  getEntries(): HostsEntry[] {
    const entries = new Map<string, HostsEntry>();
    for (const { hostname, ip } of call(() => this.#native.entries())) {
      if (ip === this.#localIp || !entries.has(hostname)) entries.set(hostname, { hostname, ip });
    }
    return [...entries.values()];
  }

  /** Whether a name stands in our block. */
  hasEntry(hostname: string): boolean {
    const name = typeof hostname === 'string' ? hostname.toLowerCase() : undefined;
    return this.getEntries().some(entry => entry.hostname === name);
  }

  getHostsPath(): string {
    return this.#native.path();
  }

  async #change(
    what: string,
    make: () => Promise<{ names: string[]; change: native.NativeHostsChange }>,
  ): Promise<HostsResult> {
    try {
      const { names, change } = await make();
      if (this.#logs && change.changed) console.info(`[HostsManager] ${[what, names.join(', ')].filter(Boolean).join(' ')}`);
      return { success: true, ...(change.backupPath !== undefined && { backupPath: change.backupPath }) };
    } catch (thrown) {
      const { message, hint } = fromNative(thrown);
      const error = hint === undefined ? message : `${message} (${hint})`;
      if (this.#logs) console.error(`[HostsManager] ${error}`);
      return { success: false, error };
    }
  }

  #names(entries: unknown): string[] {
    if (!Array.isArray(entries)) throw new EdgeRouterError('INVALID_FIELD', 'entries is not valid: it is not a list');
    return entries.map((entry: unknown) => {
      if (typeof entry === 'string') return entry;
      if (!isObject(entry) || typeof entry.hostname !== 'string') {
        throw new EdgeRouterError('INVALID_FIELD', 'an entry is not valid: it is neither a name nor an object with hostname');
      }
      if (entry.ip !== undefined && entry.ip !== this.#localIp) {
        throw new EdgeRouterError('INVALID_FIELD', `ip of ${entry.hostname} is not valid: entries have the address ${this.#localIp}`);
      }
      return entry.hostname;
    });
  }
}
