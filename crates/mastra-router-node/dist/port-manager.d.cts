export interface PortManagerConfig {
    /** First port. */
    start: number;
    /** Last port. */
    end: number;
    /** Directory of leases, which all routers of a user share. @default '~/.mastra/router/ports' */
    leaseDir?: string;
}
/**
 * Gives out free ports of a range, each once among all processes of a user.
 *
 * A port stays taken until it is released, or until this process ends in whatever way.
 */
export declare class PortManager {
    #private;
    constructor(config: PortManagerConfig);
    /** Takes the lowest free port. Rejects with `NO_PORT_AVAILABLE`; its hint says who holds the ports. */
    allocate(): Promise<number>;
    /** Takes this port, be it of the range or not. False where it is taken or listened on. */
    reserve(number: number): Promise<boolean>;
    /** Gives a port back. One that was not taken is no error. */
    release(number: number): void;
    /** Whether the port could be taken now. */
    isPortAvailable(number: number): Promise<boolean>;
    /** The ports that are taken, in the order in which they were. */
    getAllocated(): number[];
}
