/**
 * What a row of the conformance suite is: one behaviour of the mounted file, observed through system calls, the same
 * for every driver and mountpoint unless the row says where a driver differs.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import type { Driver } from '../../lib/mount/driver.js';
import type { MountedStore, MountpointKind, StoreRequest } from './mounted-store.js';

export const MIB = 1024 * 1024;
/** Of the store that rows get. */
export const SIZE = 4 * MIB;

export interface Row {
  name: string;
  /** The row gets a mount of its own, made with this. Others share one, and leave it as usable as it was. */
  mount?: StoreRequest;
  /** Only this kind of mountpoint, or only this driver, has the behaviour at all. */
  kind?: MountpointKind;
  driver?: Driver;
  /** Programs that must be installed. */
  tools?: readonly string[];
  /** What is seen, as plain data. */
  observe(mounted: MountedStore): unknown;
  /** What a block device would show. */
  expected: unknown;
  /** What fuse-native shows instead, and why it cannot do better. */
  fuseNative?: { why: string; expected: unknown };
}

/** The errno of what `work` throws, or what it returns. */
export function outcome(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}

/** Runs a shell script with `$1`, `$2` …; its standard output, or what went wrong. */
export function shell(script: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('sh', ['-ec', script, 'sh', ...args], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C', PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  return status === 0 ? stdout.trim() : `status ${status}: ${stderr.trim()}`;
}

/** stat(1) in its own format. */
export function statText(format: string, path: string): string {
  return execFileSync('stat', ['-c', format, path], { encoding: 'utf8' }).trim();
}
