import native = require('./native.cjs');

let installed = false;

/** Has what the library warns of said on the console. */
export function installWarnings(logs: boolean): void {
  if (installed || !logs) return;
  installed = true;
  native.onWarning(warning => console.error(`[router-local] ${warning}`));
}
