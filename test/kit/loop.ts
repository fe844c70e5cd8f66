/**
 * Loop devices that are gone when the test is.
 */
import type { Test } from 'tap';
import { listLoops } from './mounts.js';
import { mustRun, run } from './run.js';

/** A block device over `file`; detached at the teardown of `t`. */
export async function attachLoop(t: Test, file: string): Promise<string> {
  const { stdout } = await mustRun('losetup', ['--find', '--show', file]);
  const device = stdout.toString().trim();
  // The number may belong to somebody else's file by then.
  const isOurs = () => listLoops().some((loop) => loop.device === device && loop.file === file);
  t.teardown(async () => isOurs() && (await run('losetup', ['--detach', device])));
  return device;
}
