/**
 * Loop devices that are gone when the test is.
 */
import type { Test } from 'tap';
import { mustRun, run } from './run.js';

/** A block device over `file`; detached at the teardown of `t`. */
export async function attachLoop(t: Test, file: string): Promise<string> {
  const { stdout } = await mustRun('losetup', ['--find', '--show', file]);
  const device = stdout.toString().trim();
  t.teardown(() => run('losetup', ['--detach', device]));
  return device;
}
