// Temporary directories, one for everything that a test writes.
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

const all = mkdtempSync(path.join(tmpdir(), 'router-local-'));
// At the end of the program, when nothing can write there any more.
process.on('exit', () => rmSync(all, { recursive: true, force: true }));

/** A directory that is gone when the tests of this file are over. */
export function temporary() {
  return mkdtemp(path.join(all, 'd-'));
}
