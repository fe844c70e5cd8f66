/**
 * Runs the program under test, as a user would: bin/luksfuse and nothing behind it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { findMount } from './mounts.js';
import { waitUntil } from './processes.js';
import { cleanEnv, type RunOptions, type RunResult, run } from './run.js';

/** The root of the checkout; this file is dist/test/kit/luksfuse.js. */
export const PROJECT_DIR = path.resolve(fileURLToPath(import.meta.url), '../../../..');
export const PROGRAM = path.join(PROJECT_DIR, 'bin/luksfuse');

export interface ProgramOptions extends RunOptions {
  /** The URL of a module that every process of the program loads first. */
  hook?: string;
}

export function luksfuse(
  args: readonly string[],
  { hook, ...options }: ProgramOptions = {},
): Promise<RunResult> {
  if (hook === undefined) return run(PROGRAM, args, options);
  return run(process.execPath, [`--import=${hook}`, PROGRAM, ...args], options);
}

/** `luksfuse`, and an exception with its message where it does not exit with 0. */
export async function mustLuksfuse(
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<RunResult> {
  const result = await luksfuse(args, options);
  if (result.code !== 0) {
    throw new Error(`luksfuse ${args.join(' ')}: ${result.signal ?? result.code}: ${result.stderr}`);
  }
  return result;
}

/** What names a volume on the command line. */
export interface VolumeArgs {
  /** Null for an attached header. */
  header: string | null;
  payload: string;
  keyFile: string;
}

/** Header and key options, without the payload. */
export function unlockArgs(volume: VolumeArgs): string[] {
  const header = volume.header ? ['--header', volume.header] : [];
  return [...header, '--key-file', volume.keyFile];
}

export interface Mounted {
  mountpoint: string;
  /** The plaintext file. */
  file: string;
  umount(): Promise<void>;
}

export interface MountOptions {
  /** More options for `mount`. */
  args?: readonly string[];
  /** An existing directory or regular file; without it a directory is made beside the payload. */
  mountpoint?: string;
  env?: Record<string, string>;
  /** As in ProgramOptions. */
  hook?: string;
}

/** Mounts the volume; the teardown of `t` unmounts it where the test has not. */
export async function mountVolume(t: Test, volume: VolumeArgs, options: MountOptions = {}): Promise<Mounted> {
  const mountpoint =
    options.mountpoint ?? fs.mkdtempSync(path.join(path.dirname(volume.payload), 'mountpoint-'));
  const file = fs.statSync(mountpoint).isDirectory() ? path.join(mountpoint, 'payload') : mountpoint;
  const { args = [], env = {}, hook } = options;
  await mustLuksfuse(['mount', ...unlockArgs(volume), ...args, volume.payload, mountpoint], {
    env,
    ...(hook !== undefined && { hook }),
  });
  t.teardown(() => clearMount(mountpoint));
  return {
    mountpoint,
    file,
    async umount() {
      await mustLuksfuse(['umount', mountpoint]);
    },
  };
}

/** `mount --foreground`, once it answers. */
export async function mountInForeground(
  t: Test,
  volume: VolumeArgs,
): Promise<{ child: ChildProcess; mountpoint: string }> {
  const mountpoint = fs.mkdtempSync(path.join(path.dirname(volume.payload), 'mountpoint-'));
  const args = ['mount', '--foreground', ...unlockArgs(volume), volume.payload, mountpoint];
  const child = spawn(PROGRAM, args, { stdio: ['ignore', 'ignore', 'inherit'], env: cleanEnv() });
  t.teardown(async () => {
    await clearMount(mountpoint);
    child.kill('SIGKILL');
  });
  await waitUntil('the foreground mount answers', () => fs.existsSync(path.join(mountpoint, 'payload')));
  return { child, mountpoint };
}

/** Unmounts what is still there: first as a user would, then by force so that nothing outlives the test. */
export async function clearMount(mountpoint: string): Promise<void> {
  if (!findMount(mountpoint)) return;
  await luksfuse(['umount', mountpoint], { timeoutMs: 15_000 }).catch(() => null);
  while (findMount(mountpoint)) {
    const { code } = await run('umount', ['-l', mountpoint]);
    if (code !== 0) break;
  }
}
