// What every router keeps, whichever way it is used. The same checks, under the same names, stand in
// crates/mastra-router/tests/contract; a test there compares the two lists.
import { registering } from './registering.mjs';
import { moving } from './moving.mjs';
import { health } from './health.mjs';
import { ending } from './ending.mjs';

/** Each `{ name, kinds?, check(t, make) }`: `make(settings)` gives a new router, `kinds` says which it applies to. */
export const checks = [...registering, ...moving, ...health, ...ending];
