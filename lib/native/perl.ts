/**
 * File locks where C cannot be called: perl, which most systems have, takes them on a descriptor that it inherits. Such a
 * lock belongs to the open file description, which perl shares with this process, and so stays when perl has ended.
 */
import { spawnSync } from 'node:child_process';
import { LuksError } from '../errors.js';
import { errnoError } from './call.js';
import { koffiLack } from './library.js';

/** The number that the descriptor has in the script: the first after stderr. */
export const INHERITED_FD = 3;

const TIMEOUT_MS = 30_000;

/**
 * Runs a script that ends with 0, or with the errno of the call that failed. Throws as node:fs does, and UNSUPPORTED, naming
 * the cure, where there is no perl.
 */
export function runPerl(
  syscall: string,
  fd: number,
  script: string,
  args: readonly (string | number)[],
): void {
  const { error, status, stderr } = spawnSync('perl', ['-e', script, '--', ...args.map(String)], {
    stdio: ['ignore', 'ignore', 'pipe', fd],
    env: { PATH: process.env.PATH, LC_ALL: 'C' },
    encoding: 'utf8',
    // The scripts wait for nothing; what hangs is a file system, or what is called perl there.
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  if (error || stderr !== '' || status === null) {
    const why = error?.message ?? stderr.trim();
    throw new LuksError(
      'UNSUPPORTED',
      `cannot lock files: the package koffi cannot be used here (${koffiLack}), nor perl in its place (${why}); install perl`,
    );
  }
  if (status !== 0) throw errnoError(status, syscall);
}
