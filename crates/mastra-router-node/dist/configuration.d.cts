import type { NativeConfig } from '../native.cjs';
import type { LocalEdgeRouterConfig } from './types.cjs';
/** A router's configuration, checked. */
export interface Configuration {
    given: LocalEdgeRouterConfig;
    native: NativeConfig;
}
/** Reads a router's configuration; what is not known is left alone. */
export declare function readConfiguration(config: unknown): Configuration;
/** A path with `~` for the home directory, as the defaults are written. */
export declare function home(path: string | undefined): string | undefined;
