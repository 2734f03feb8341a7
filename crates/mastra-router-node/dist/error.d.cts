/**
 * What every failing call of this package throws or rejects with.
 *
 * `code` is stable, and the same in the command, over HTTP and in Rust. `message` says what happened and why, `hint`, where
 * there is one, what to do about it.
 */
export declare class EdgeRouterError extends Error {
    readonly name = "EdgeRouterError";
    readonly code: string;
    readonly hint: string | undefined;
    constructor(code: string, message: string, hint?: string);
}
/** Makes an {@link EdgeRouterError} of what the addon threw: its message is JSON. */
export declare function fromNative(error: unknown): EdgeRouterError;
/** Calls the addon. */
export declare function call<T>(work: () => T): T;
/** Calls the addon and waits for it. */
export declare function callAsync<T>(work: () => Promise<T>): Promise<T>;
