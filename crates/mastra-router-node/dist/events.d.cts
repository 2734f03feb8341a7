import type native = require('./native.cjs');
import type { EdgeRouterEvents, RouteInfo } from './types.cjs';
type Name = keyof EdgeRouterEvents;
type Event = EdgeRouterEvents[Name];
/** The events of a router. The addon is asked for them only while somebody listens. */
export declare class Events {
    #private;
    constructor(router: native.NativeRouter);
    on(name: Name, listener: (event: never) => void): void;
    once(name: Name, listener: (event: never) => void): void;
    off(name: Name, listener: (event: never) => void): void;
    /** Events as they come, from this call on, until the router is closed or, where it is another process's, has ended. */
    iterate(names: readonly Name[]): AsyncIterableIterator<Event>;
    /** Nothing comes any more. */
    end(): void;
}
/** A route as callers see it. */
export declare function routeInfo(info: native.NativeRouteInfo): RouteInfo;
export {};
