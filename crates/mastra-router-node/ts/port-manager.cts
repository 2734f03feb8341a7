import { optional, port, settings, string, field } from './arguments.cjs';
import { call, callAsync } from './error.cjs';
import native = require('./native.cjs');

export interface PortManagerConfig {
  /** First port. */
  start: number;
  /** Last port. */
  end: number;
  /** Directory of leases, which all routers of a user share. @default '~/.mastra/router/ports' */
  leaseDir?: string;
}

/** Managers that hold ports: they do until they release them, whether the program keeps them or not. */
const holding = new Set<PortManager>();

/**
 * Gives out free ports of a range, each once among all processes of a user.
 *
 * A port stays taken until it is released, or until this process ends in whatever way.
 */
export class PortManager {
  readonly #native: native.NativePorts;
  /** In the order in which they were taken. */
  readonly #allocated = new Set<number>();

  constructor(config: PortManagerConfig) {
    const { start, end, leaseDir } = settings<PortManagerConfig>('portRange', config, {
      start: port,
      end: port,
      leaseDir: optional(string),
    });
    this.#native = call(() => new native.NativePorts(start, end, leaseDir));
  }

  /** Takes the lowest free port. Rejects with `NO_PORT_AVAILABLE`; its hint says who holds the ports. */
  async allocate(): Promise<number> {
    const allocated = await callAsync(() => this.#native.allocate());
    this.#hold(allocated);
    return allocated;
  }

  /** Takes this port, be it of the range or not. False where it is taken or listened on. */
  async reserve(number: number): Promise<boolean> {
    field('port', number, port);
    const reserved = await callAsync(() => this.#native.reserve(number));
    if (reserved) this.#hold(number);
    return reserved;
  }

  /** Gives a port back. One that was not taken is no error. */
  release(number: number): void {
    field('port', number, port);
    this.#allocated.delete(number);
    if (this.#allocated.size === 0) holding.delete(this);
    call(() => this.#native.release(number));
  }

  /** Whether the port could be taken now. */
  async isPortAvailable(number: number): Promise<boolean> {
    field('port', number, port);
    return callAsync(() => this.#native.isPortAvailable(number));
  }

  /** The ports that are taken, in the order in which they were. */
  getAllocated(): number[] {
    return [...this.#allocated];
  }

  #hold(number: number): void {
    this.#allocated.add(number);
    holding.add(this);
  }
}
