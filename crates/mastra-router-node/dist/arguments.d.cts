/** Says what is wrong with a value, or nothing. */
export type Check = (value: unknown) => string | undefined;
export declare const string: Check;
export declare const boolean: Check;
/** `every` would skip the holes of a list. */
export declare const strings: Check;
export declare const callable: Check;
export declare const object: Check;
/** Milliseconds. */
export declare const time: Check;
/** An integer that is not negative. */
export declare const count: Check;
export declare const port: Check;
export declare const oneOf: (...values: unknown[]) => Check;
/** What may be left out. */
export declare const optional: (check: Check) => Check;
export declare function isObject(value: unknown): value is Record<string, unknown>;
/** A field of a call, checked. */
export declare function field<T>(name: string, value: unknown, check: Check): T;
/** A setting, checked. */
export declare function setting<T>(name: string, value: unknown, check: Check): T;
/** The fields of a call's argument: those that `checks` names, each read once and checked. */
export declare function fields<T>(name: string, value: unknown, checks: {
    [K in keyof T]-?: Check;
}): T;
/** The same of settings. */
export declare function settings<T>(name: string, value: unknown, checks: {
    [K in keyof T]-?: Check;
}): T;
