import { EventEmitter } from 'node:events';
import { call } from './error.cjs';
import type native = require('./native.cjs');
import type { EdgeRouterEvents, HealthEvent, RequestEvent, RouteEvent, RouteInfo, RouteStatus } from './types.cjs';

/** Events that a reader of {@link Events.iterate} may fall behind by before it loses the oldest. */
const BEHIND_MOST = 1024;

/** Pause before a router that has ended is looked for again. */
const AGAIN_MS = 1000;

type Name = keyof EdgeRouterEvents;
type Event = EdgeRouterEvents[Name];

/** The events of a router. The addon is asked for them only while somebody listens. */
export class Events {
  readonly #native: native.NativeRouter;
  readonly #emitter = new EventEmitter();
  #following = { routes: false, requests: false };
  #ended = false;

  constructor(router: native.NativeRouter) {
    this.#native = router;
    // Each reader of `iterate` is one more listener, which is no leak.
    this.#emitter.setMaxListeners(0);
  }

  on(name: Name, listener: (event: never) => void): void {
    this.#follow(name);
    this.#emitter.on(name, listener as (event: unknown) => void);
  }

  once(name: Name, listener: (event: never) => void): void {
    this.#follow(name);
    this.#emitter.once(name, listener as (event: unknown) => void);
  }

  off(name: Name, listener: (event: never) => void): void {
    this.#emitter.off(name, listener as (event: unknown) => void);
    this.#unfollow();
  }

  /** Events as they come, from this call on, until the router is closed or, where it is another process's, has ended. */
  iterate(names: readonly Name[]): AsyncIterableIterator<Event> {
    const queue: Event[] = [];
    const waiting: ((result: IteratorResult<Event>) => void)[] = [];
    let over = this.#ended;
    const take = (event: Event) => {
      const next = waiting.shift();
      if (next) return next({ value: event, done: false });
      if (queue.length === BEHIND_MOST) queue.shift();
      queue.push(event);
    };
    const end = () => {
      over = true;
      for (const name of names) this.off(name, take);
      this.#emitter.off('end', end);
      for (const next of waiting.splice(0)) next({ value: undefined, done: true });
    };
    if (!over) {
      for (const name of names) this.on(name, take);
      this.#emitter.on('end', end);
    }
    return {
      next: () => {
        const event = queue.shift();
        if (event) return Promise.resolve({ value: event, done: false });
        if (over) return Promise.resolve({ value: undefined, done: true });
        return new Promise(resolve => waiting.push(resolve));
      },
      return: () => {
        end();
        queue.length = 0;
        return Promise.resolve({ value: undefined, done: true });
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /** Nothing comes any more. */
  end(): void {
    this.#ended = true;
    this.#emitter.emit('end');
    this.#emitter.removeAllListeners();
    this.#unfollow();
  }

  #count(...names: Name[]): number {
    return names.reduce((sum, name) => sum + this.#emitter.listenerCount(name), 0);
  }

  /** Asks the addon for events of this name. */
  #follow(name: Name): void {
    if (this.#ended) return;
    // With requests, too: it is these events that tell of the end.
    if (!this.#following.routes) {
      call(() => this.#native.follow(event => this.#tell(event)));
      this.#following.routes = true;
    }
    if (name === 'request' && !this.#following.requests) {
      call(() => this.#native.followRequests(request => this.#emit('request', requestEvent(request))));
      this.#following.requests = true;
    }
  }

  #emit(name: Name, event: Event): void {
    this.#emitter.emit(name, event);
    // A listener for one event has gone now.
    this.#unfollow();
  }

  /** The router of another process has ended: readers end, and listeners hear of the next one in its place. */
  #lost(): void {
    this.#following = { routes: false, requests: false };
    this.#native.unfollow();
    this.#native.unfollowRequests();
    this.#emitter.emit('end');
    const again = () => {
      const wanted = (['route', 'request'] as const).filter(name =>
        name === 'route' ? this.#count('route', 'health') > 0 : this.#count('request') > 0,
      );
      if (this.#ended || wanted.length === 0) return;
      try {
        for (const name of wanted) this.#follow(name);
      } catch {
        setTimeout(again, AGAIN_MS).unref();
      }
    };
    setTimeout(again, AGAIN_MS).unref();
  }

  #unfollow(): void {
    if (this.#following.routes && this.#count('route', 'health', 'request') === 0) {
      this.#following.routes = false;
      this.#native.unfollow();
    }
    if (this.#following.requests && this.#count('request') === 0) {
      this.#following.requests = false;
      this.#native.unfollowRequests();
    }
  }

  #tell(event: native.NativeEvent): void {
    if (event.kind === 'ended') return this.#lost();
    const route = event.route && routeInfo(event.route);
    if (event.kind === 'checked' && route && event.health) {
      const told: HealthEvent = { kind: 'health', route, before: event.before as RouteStatus, health: event.health };
      this.#emit('health', told);
    } else if (event.kind !== 'checked') {
      const told: RouteEvent = { kind: 'route', change: event.kind as RouteEvent['change'], ...(route && { route }) };
      this.#emit('route', told);
    }
  }
}

function requestEvent(request: native.NativeRequest): RequestEvent {
  const protocol = request.protocol as RequestEvent['protocol'];
  return { kind: 'request', ...request, at: new Date(request.at), protocol };
}

/** A route as callers see it. */
export function routeInfo(info: native.NativeRouteInfo): RouteInfo {
  return {
    routeId: info.routeId,
    deploymentId: info.deploymentId,
    publicUrl: info.publicUrl,
    status: info.status as RouteStatus,
    createdAt: new Date(info.createdAt),
    lastHealthCheck: info.lastHealthCheck === undefined ? undefined : new Date(info.lastHealthCheck),
  };
}
