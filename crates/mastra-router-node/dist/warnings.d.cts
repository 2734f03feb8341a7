/** Has what the library warns of said on the console. */
export declare function installWarnings(logs: boolean): void;
