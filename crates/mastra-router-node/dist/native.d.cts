import native = require('../native.cjs');
export = native;
