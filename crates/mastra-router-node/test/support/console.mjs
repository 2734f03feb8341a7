// What is said on the console while a test runs.

/** Keeps what the package says on the console; lines of others pass. */
export function listenToConsole(t, prefix) {
  const said = { info: [], error: [] };
  for (const name of ['info', 'error']) {
    const pass = console[name].bind(console);
    t.mock.method(console, name, (...args) => {
      if (String(args[0]).startsWith(prefix)) said[name].push(args.join(' '));
      else pass(...args);
    });
  }
  return said;
}
