/**
 * Temporary directories that are gone when the test is. Each name carries the checkout, the host (worlds have names of
 * their own) and the pid of its test process, so that whatever is left behind can be told from what a running test, or
 * the test of another checkout, still owns (leftovers.ts).
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Test } from 'tap';
import { PROJECT_DIR } from './luksfuse.js';

const CHECKOUT = createHash('sha256').update(`${os.hostname()}:${PROJECT_DIR}`).digest('hex').slice(0, 6);

/** Every directory of a test starts with this and the pid; leftovers.ts looks for it. */
export const TEMP_PREFIX = `luksfuse-test-${CHECKOUT}-`;

/** Memory-backed, where there is such a place: payloads are written many times over. */
const PAYLOAD_ROOT = fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();

/** The directories in which temporary directories are made. */
export const TEMP_ROOTS: readonly string[] = [
  ...new Set([os.tmpdir(), PAYLOAD_ROOT, path.join(PROJECT_DIR, 'dist')]),
];

/** A new empty directory, removed at the teardown of `t`. */
export function makeTempDir(t: Test): string {
  const dir = fs.mkdtempSync(path.join(PAYLOAD_ROOT, `${TEMP_PREFIX}${process.pid}-`));
  t.teardown(() => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
}
