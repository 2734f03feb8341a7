/** Has routers that are not closed take back what would outlive the process, when it ends. */
export declare function installEnding(): void;
/** The same for a program that a signal ends; only needed while there are lines in the hosts file. */
export declare function watchSignals(): void;
/** Undoes one {@link watchSignals}. */
export declare function unwatchSignals(): void;
