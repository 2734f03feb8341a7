// Waiting for facts, never for a while.

/** Asks until `check` gives something. */
export async function until(what, check, within = 30_000) {
  const deadline = performance.now() + within;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (performance.now() > deadline) throw new Error(`still waiting after ${within} ms for: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

/** What `promise` gives, or an error that says what did not come. */
export async function within(what, promise, most = 30_000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`still waiting after ${most} ms for: ${what}`)), most);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
