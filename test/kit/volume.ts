/**
 * Volumes made by luksfuse itself, for tests of what comes after: quicker than those of cryptsetup.ts.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { mustLuksfuse } from './luksfuse.js';
import { makeTempDir } from './temp.js';

export interface Volume {
  /** A directory of this volume alone. */
  dir: string;
  header: string;
  payload: string;
  keyFile: string;
}

/** A detached pair over a sparse payload, so that its plaintext is noise. Removed at the teardown of `t`. */
export async function makeVolume(
  t: Test,
  sizeBytes: number,
  formatArgs: readonly string[] = [],
): Promise<Volume> {
  const dir = makeTempDir(t);
  const file = (name: string) => path.join(dir, name);
  const volume = { dir, header: file('header'), payload: file('payload'), keyFile: file('key') };
  fs.writeFileSync(volume.keyFile, randomBytes(16).toString('hex'));
  fs.writeFileSync(volume.payload, '');
  fs.truncateSync(volume.payload, sizeBytes);
  const pbkdf = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
  const args = [...pbkdf, '--key-file', volume.keyFile, '--header', volume.header, ...formatArgs];
  await mustLuksfuse(['format', ...args, volume.payload]);
  return volume;
}
