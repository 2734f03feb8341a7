// The contract, with each kind of router.
import { describe, test } from 'node:test';

import { checks } from './contract/checks.mjs';
import { KINDS } from './contract/fixture.mjs';

for (const [kind, make] of Object.entries(KINDS)) {
  describe(kind, { concurrency: 4 }, () => {
    for (const { name, kinds, check } of checks) {
      if (!kinds || kinds.includes(kind)) test(name, t => check(t, settings => make(t, settings)));
    }
  });
}
