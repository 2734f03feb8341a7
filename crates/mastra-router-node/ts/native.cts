// The loader that napi-rs generates: it finds the addon of this platform, beside it or in the platform's package.
import native = require('../native.cjs');

export = native;
