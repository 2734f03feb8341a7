// Values that a call does not expect.

const throwing = () => {
  throw new RangeError('a getter of the test');
};

/** An object whose every property throws when it is read. */
const trap = new Proxy({}, { get: throwing, has: throwing, ownKeys: throwing, getOwnPropertyDescriptor: throwing, getPrototypeOf: throwing });
const bare = Object.create(null);
const cyclic = {};
cyclic.self = cyclic;
const revoked = Proxy.revocable({}, {});
revoked.revoke();

/** Of every type; each with the name that a failing test shows. */
export const VALUES = Object.entries({
  undefined: undefined,
  null: null,
  true: true,
  zero: 0,
  'minus zero': -0,
  'minus one': -1,
  'one and a half': 1.5,
  'a port too many': 65_536,
  '2 ** 32': 2 ** 32,
  '2 ** 53': 2 ** 53,
  '1e20': 1e20,
  NaN: NaN,
  Infinity: Infinity,
  'minus Infinity': -Infinity,
  'an empty string': '',
  'a string': 'x',
  'a string that is a number': '80',
  'a huge string': 'x'.repeat(1 << 20),
  'a string with zero': 'a\0b',
  'a string with a line end': 'a\nb',
  'half of a character': '\ud800',
  'the word __proto__': '__proto__',
  'the word constructor': 'constructor',
  'the word toString': 'toString',
  'the word hasOwnProperty': 'hasOwnProperty',
  symbol: Symbol('x'),
  bigint: 1n,
  'a huge bigint': 2n ** 80n,
  function: () => {},
  class: class {},
  'an empty list': [],
  'a list': [1, 'x', null, undefined],
  'a huge list': new Array(100_000),
  'an empty object': {},
  'an object without a prototype': bare,
  'an object of itself': cyclic,
  'an object that throws': trap,
  'a revoked proxy': revoked.proxy,
  'a getter that throws': Object.defineProperty({}, 'routeId', { get: throwing, enumerable: true }),
  'an object whose text throws': { toString: throwing, valueOf: throwing, [Symbol.toPrimitive]: throwing },
  date: new Date(NaN),
  buffer: Buffer.alloc(3),
  promise: Promise.resolve(1),
  map: new Map(),
  'a boxed string': new String('x'),
});

/** Whether an error is that of a value of this file, which a call may pass on. */
export function isOurs(error) {
  return (error instanceof RangeError && error.message === 'a getter of the test') || (error instanceof TypeError && /revoked/.test(error.message));
}

/** The codes of errors, as the README lists them. */
export const CODES = new Set([
  'ROUTE_EXISTS', 'ROUTE_NOT_FOUND', 'ROUTE_CONFLICT', 'INVALID_NAME', 'INVALID_TARGET', 'INVALID_FIELD', 'INVALID_CONFIG', 'TARGET_UNHEALTHY',
  'PORT_IN_USE', 'NO_PORT_AVAILABLE', 'FILE_ERROR', 'HOSTS_FILE', 'HOSTS_NAME', 'CERTIFICATE_ERROR', 'CA_CONSTRAINTS', 'NO_PROXY_IN_STRATEGY',
  'PROXY_RUNNING', 'ROUTER_CLOSED', 'ROUTER_UNREACHABLE', 'ROUTER_OWNED', 'SHARED_ROUTER',
]);
