// The package under test, as it was built.
export * from '../../dist/index.js';
