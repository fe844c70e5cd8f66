/**
 * The program under test, installed once more.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { PROJECT_DIR } from './luksfuse.js';
import { TEMP_PREFIX } from './temp.js';

export interface Installed {
  dir: string;
  /** Its command. */
  program: string;
  /** What its servers run. */
  entry: string;
}

/** A copy on the same file system, as a package manager's would be; removed at the teardown of `t`. */
export function installCopy(t: Test): Installed {
  const parent = fs.mkdtempSync(path.join(PROJECT_DIR, 'dist', `${TEMP_PREFIX}${process.pid}-`));
  t.teardown(() => fs.rmSync(parent, { recursive: true, force: true }));
  fs.chmodSync(parent, 0o755);
  const dir = path.join(parent, 'installed');
  fs.mkdirSync(dir);
  for (const name of ['bin', 'dist/lib', 'package.json']) {
    fs.cpSync(path.join(PROJECT_DIR, name), path.join(dir, name), { recursive: true });
  }
  fs.symlinkSync(path.join(PROJECT_DIR, 'node_modules'), path.join(dir, 'node_modules'));
  const entry = path.join(dir, 'dist/lib/program/server-main.js');
  return { dir, program: path.join(dir, 'bin/luksfuse'), entry };
}
