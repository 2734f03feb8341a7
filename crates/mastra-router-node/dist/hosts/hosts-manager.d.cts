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
export type NewHostsEntry = string | {
    hostname: string;
    ip?: string;
};
export interface HostsResult {
    success: boolean;
    /** What went wrong, and what to do. The file is then as it was. */
    error?: string;
    /** The copy of the file as it was before. */
    backupPath?: string;
}
/**
 * Names in the hosts file: in a block of its own, with every other byte of the file left as it is.
 *
 * Each change is made whole or not at all, also among processes. Entries stay when the program ends; later programs may
 * remove them, and those of a program that runs only it may.
 */
export declare class HostsManager {
    #private;
    constructor(config?: HostsManagerConfig);
    addEntry(entry: NewHostsEntry): Promise<HostsResult>;
    /** Adds all of them, or none. */
    addEntries(entries: NewHostsEntry[]): Promise<HostsResult>;
    removeEntry(hostname: string): Promise<HostsResult>;
    /** Names that are not there are no error. */
    removeEntries(hostnames: string[]): Promise<HostsResult>;
    /** Removes all entries of this program, and of those that have ended. */
    removeAllEntries(): Promise<HostsResult>;
    /**
     * Puts a copy of the file back: the newest, or the one that a result named as `backupPath`. What the file is now becomes a
     * copy, so that this can be undone.
     */
    restoreFromBackup(backupPath?: string): Promise<HostsResult>;
    /** The names of our block, each once: with `localIp` where it has that. Throws `HOSTS_FILE` where it cannot be read. */
    getEntries(): HostsEntry[];
    /** Whether a name stands in our block. */
    hasEntry(hostname: string): boolean;
    getHostsPath(): string;
}
