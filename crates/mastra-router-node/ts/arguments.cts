import { EdgeRouterError } from './error.cjs';

/** Says what is wrong with a value, or nothing. */
export type Check = (value: unknown) => string | undefined;

const isNot = (what: string) => `it is not ${what}`;

/** Far more than any name, id or path may have; what is longer is not taken to the addon or to another process. */
const STRING_MOST = 8192;

export const string: Check = value => {
  if (typeof value !== 'string') return isNot('a string');
  return value.length > STRING_MOST ? `it is longer than ${STRING_MOST} characters` : undefined;
};
export const boolean: Check = value => (typeof value === 'boolean' ? undefined : isNot('true or false'));
/** `every` would skip the holes of a list. */
export const strings: Check = value =>
  Array.isArray(value) && Array.from<unknown>(value).every(item => typeof item === 'string')
    ? undefined
    : isNot('a list of strings');
export const callable: Check = value => (typeof value === 'function' ? undefined : isNot('a function'));
export const object: Check = value => (isObject(value) ? undefined : isNot('an object'));
/** Milliseconds. */
export const time: Check = value =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? undefined : isNot('a number of milliseconds');
/** An integer that is not negative. */
export const count: Check = value =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff
    ? undefined
    : isNot('a whole number');
export const port: Check = value =>
  count(value) === undefined && (value as number) <= 0xffff ? undefined : isNot('a port, from 0 to 65535');

export const oneOf =
  (...values: unknown[]): Check =>
  value =>
    values.includes(value) ? undefined : `it is none of ${values.map(v => JSON.stringify(v)).join(', ')}`;

/** What may be left out. */
export const optional =
  (check: Check): Check =>
  value =>
    value === undefined ? undefined : check(value);

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A field of a call, checked. */
export function field<T>(name: string, value: unknown, check: Check): T {
  const reason = value === undefined && check(undefined) !== undefined ? 'it is missing' : check(value);
  if (reason !== undefined) throw new EdgeRouterError('INVALID_FIELD', `${name} ${shown(value)} is not valid: ${reason}`);
  return value as T;
}

/** A setting, checked. */
export function setting<T>(name: string, value: unknown, check: Check): T {
  const reason = value === undefined && check(undefined) !== undefined ? 'it is missing' : check(value);
  if (reason !== undefined) throw new EdgeRouterError('INVALID_CONFIG', `setting ${name} is not valid: ${reason}`);
  return value as T;
}

/** The fields of a call's argument: those that `checks` names, each read once and checked. */
export function fields<T>(name: string, value: unknown, checks: { [K in keyof T]-?: Check }): T {
  if (!isObject(value)) throw new EdgeRouterError('INVALID_FIELD', `${name} ${shown(value)} is not valid: ${isNot('an object')}`);
  return read(value, checks, field);
}

/** The same of settings. */
export function settings<T>(name: string, value: unknown, checks: { [K in keyof T]-?: Check }): T {
  if (!isObject(value)) throw new EdgeRouterError('INVALID_CONFIG', `${name === '' ? 'the configuration' : `setting ${name}`} is not valid: ${isNot('an object')}`);
  return read(value, checks, (key, given, check) => setting(name === '' ? key : `${name}.${key}`, given, check));
}

function read<T>(
  value: Record<string, unknown>,
  checks: { [K in keyof T]-?: Check },
  take: (key: string, value: unknown, check: Check) => unknown,
): T {
  const out: Record<string, unknown> = {};
  for (const [key, check] of Object.entries<Check>(checks)) {
    // `null` is how JSON says that nothing is there.
    const taken = take(key, value[key] ?? undefined, check);
    if (taken !== undefined) out[key] = taken;
  }
  return out as T;
}

/** A value as an error shows it: short, and on one line. */
function shown(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.length > 100 ? `${value.slice(0, 100)}…` : value);
    case 'object':
      return value === null ? 'null' : Array.isArray(value) ? '[…]' : '{…}';
    case 'function':
      return 'function';
    case 'bigint':
    case 'symbol':
      return value.toString();
    default:
      return String(value);
  }
}
