import { EdgeRouterError } from './error.cjs';

// Before anything else asks for the addon: where it is missing, that is said in words that help.
try {
  require('../native.cjs');
} catch (cause) {
  const name = `@mastra/router-local-${process.platform}-${process.arch}${process.platform === 'linux' ? '-gnu' : ''}`;
  const message = `the addon for this platform could not be loaded: ${name} is not installed, or does not fit this system`;
  const { version } = require('../package.json') as { version: string };
  const hint = `npm install ${name}@${version} (npm leaves it out where it was told to omit optional packages)`;
  throw Object.assign(new EdgeRouterError('ADDON_MISSING', message, hint), { cause });
}
