/**
 * Streams that wait for a word from outside. A test that releases them one event at a time can
 * tell a proxy that forwards events from one that collects them, without measuring time.
 */
const waiting: Array<() => void> = [];
let saved = 0;

/** Resolves at the next `release()`, or at once when one is left over. */
export function nextRelease(): Promise<void> {
  if (saved > 0) {
    saved -= 1;
    return Promise.resolve();
  }
  return new Promise(resolve => waiting.push(resolve));
}

/** Lets one waiting stream go on; kept for the next one when none waits. */
export function release(): void {
  const resolve = waiting.shift();
  if (resolve) resolve();
  else saved += 1;
}
