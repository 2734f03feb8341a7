/**
 * What every failing call of this package throws or rejects with.
 *
 * `code` is stable, and the same in the command, over HTTP and in Rust. `message` says what happened and why, `hint`, where
 * there is one, what to do about it.
 */
export class EdgeRouterError extends Error {
  override readonly name = 'EdgeRouterError';
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, hint?: string) {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}

/** Makes an {@link EdgeRouterError} of what the addon threw: its message is JSON. */
export function fromNative(error: unknown): EdgeRouterError {
  if (error instanceof EdgeRouterError) return error;
  const text = error instanceof Error ? error.message : String(error);
  try {
    const { code, message, hint } = JSON.parse(text) as { code: string; message: string; hint: string | null };
    if (typeof code === 'string' && typeof message === 'string') return new EdgeRouterError(code, message, hint ?? undefined);
  } catch {
    // It was not one of ours.
  }
  return new EdgeRouterError('INTERNAL', text);
}

/** Calls the addon. */
export function call<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw fromNative(error);
  }
}

/** Calls the addon and waits for it. */
export async function callAsync<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fromNative(error);
  }
}
