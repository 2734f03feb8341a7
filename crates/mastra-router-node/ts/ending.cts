import native = require('./native.cjs');

/** Signals that end a program which does not listen for them. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** What a process has once, however many copies of this package it has loaded: two would take each other's for the program's. */
interface Ending {
  /** Has routers leave; one of each copy. */
  leave: Set<() => void>;
  /** Routers that keep lines in the hosts file, and are not closed. */
  outside: number;
  onSignal: (signal: NodeJS.Signals) => void;
}

const KEY = Symbol.for('@mastra/router-local.ending');

function ending(): Ending {
  const global = globalThis as { [KEY]?: Ending };
  return (global[KEY] ??= make());
}

function make(): Ending {
  const made: Ending = {
    leave: new Set(),
    outside: 0,
    onSignal: signal => {
      // Who else listens decides what becomes of the program, and `exit` follows.
      if (process.listenerCount(signal) > 1) return;
      for (const leave of made.leave) leave();
      process.off(signal, made.onSignal);
      process.kill(process.pid, signal);
    },
  };
  // `process.exit` runs these, and not the hooks of addons.
  process.on('exit', () => {
    for (const leave of made.leave) leave();
  });
  return made;
}

/** Has routers that are not closed take back what would outlive the process, when it ends. */
export function installEnding(): void {
  ending().leave.add(native.leave);
}

/** The same for a program that a signal ends; only needed while there are lines in the hosts file. */
export function watchSignals(): void {
  const { onSignal } = ending();
  ending().outside += 1;
  if (ending().outside > 1) return;
  // First of all: a `once` listener before it would be gone by the time that ours counts.
  for (const signal of SIGNALS) process.prependListener(signal, onSignal);
}

/** Undoes one {@link watchSignals}. */
export function unwatchSignals(): void {
  const { onSignal } = ending();
  ending().outside -= 1;
  if (ending().outside === 0) for (const signal of SIGNALS) process.off(signal, onSignal);
}
