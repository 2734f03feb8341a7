import native = require('./native.cjs');

/** Signals that end a program which does not listen for them. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

let installed = false;
/** Routers that keep lines in the hosts file, and are not closed. */
let outside = 0;

/** Has routers that are not closed take back what would outlive the process, when it ends. */
export function installEnding(): void {
  if (installed) return;
  installed = true;
  // `process.exit` runs these, and not the hooks of addons.
  process.on('exit', () => native.leave());
}

/** The same for a program that a signal ends; only needed while there are lines in the hosts file. */
export function watchSignals(): void {
  outside += 1;
  if (outside === 1) for (const signal of SIGNALS) process.on(signal, onSignal);
}

/** Undoes one {@link watchSignals}. */
export function unwatchSignals(): void {
  outside -= 1;
  if (outside === 0) for (const signal of SIGNALS) process.off(signal, onSignal);
}

function onSignal(signal: NodeJS.Signals): void {
  // Who else listens decides what becomes of the program, and `exit` follows.
  if (process.listenerCount(signal) > 1) return;
  native.leave();
  process.off(signal, onSignal);
  process.kill(process.pid, signal);
}
