// What the system knows of processes and of the sockets they listen on (Linux).
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A process that runs, or `undefined`. A pid may be given to another process later; the time it started tells them apart. */
export function processOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The program's name, in parentheses, may hold anything.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return { pid: Number(pid), parent: Number(fields[1]), start: fields[19] };
  } catch {
    return undefined;
  }
}

export function runs({ pid, start }) {
  return processOf(pid)?.start === start;
}

/** What runs below a process, and what carries the mark of its run wherever it is. */
export function ofRun(run) {
  const all = everyProcess();
  const found = new Map();
  const below = [run.pid];
  while (below.length > 0) {
    const parent = below.pop();
    for (const process of all.filter(process => process.parent === parent && !found.has(process.pid))) {
      found.set(process.pid, process);
      below.push(process.pid);
    }
  }
  for (const process of all) {
    if (process.pid !== run.pid && environment(process.pid).includes(`MASTRA_ROUTER_RUN=${run.pid}.${run.start}.`)) {
      found.set(process.pid, process);
    }
  }
  return [...found.values()];
}

export function commandOf({ pid }) {
  try {
    return `${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()}`;
  } catch {
    return `${pid}, which has ended`;
  }
}

/** The sockets that some of these listen on: `{ port, inode, isLocal }`. */
export function listeningOf(processes) {
  const own = new Set(processes.flatMap(({ pid }) => socketsOf(pid)));
  return everyListening().filter(({ inode }) => own.has(inode));
}

/** Those of the sockets that are still listened on, whoever has them. */
export function stillListening(sockets) {
  const inodes = new Set(everyListening().map(({ inode }) => inode));
  return sockets.filter(({ inode }) => inodes.has(inode));
}

function everyProcess() {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(processOf)
    .filter(process => process);
}

function environment(pid) {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1');
  } catch {
    return '';
  }
}

function socketsOf(pid) {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap(fd => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`).match(/^socket:\[(\d+)\]$/)?.[1] ?? [];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}

function everyListening() {
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap(table => {
    const lines = readFileSync(table, 'utf8').trim().split('\n').slice(1);
    const rows = lines.map(line => line.trim().split(/\s+/));
    return rows
      .filter(row => row[3] === '0A')
      .map(row => ({ port: parseInt(row[1].split(':').at(-1), 16), inode: row[9], isLocal: isLoopback(row[1].split(':')[0]) }));
  });
}

/** Of an address as the tables have it: each 32 bits in the order of the machine's bytes. */
function isLoopback(address) {
  const [v4, v6] = [/^......7F$/, /^0{24}01000000$|^0{16}FFFF0000......7F$/];
  return (address.length === 8 ? v4 : v6).test(address);
}
