/**
 * Where the daemons of this user can be reached, and what is noted beside them: one socket per mountpoint in a
 * directory only the user enters.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { LuksError } from '../errors.js';

/** su(1) and sudo(8) may leave the variable of the user before. */
function isOwnDirectory(directory: string, uid: number): boolean {
  try {
    const stat = fs.statSync(directory);
    return stat.uid === uid && stat.isDirectory();
  } catch {
    return false;
  }
}

function runtimeDirectory(): string {
  const uid = process.geteuid?.() ?? 0;
  if (uid === 0) return '/run/luksfuse';
  const ofUser = process.env.XDG_RUNTIME_DIR;
  return ofUser && isOwnDirectory(ofUser, uid) ? path.join(ofUser, 'luksfuse') : `/tmp/luksfuse-${uid}`;
}

/** The directory, made if missing. One in a shared /tmp that another user made is refused. */
export function openRuntimeDirectory(): string {
  const directory = runtimeDirectory();
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  const stat = fs.lstatSync(directory);
  if (!stat.isDirectory() || stat.uid !== (process.geteuid?.() ?? 0) || (stat.mode & 0o077) !== 0) {
    throw new LuksError(
      'DEVICE_IO',
      `${directory} must be a directory only you can enter; remove it and try again`,
    );
  }
  return directory;
}

function fileOf(mountpoint: string, suffix: string): string {
  const name = createHash('sha256').update(mountpoint).digest('hex').slice(0, 16);
  return path.join(openRuntimeDirectory(), `${name}${suffix}`);
}

/** The control socket of the mount on `mountpoint`, an absolute path without links. */
export function socketPathOf(mountpoint: string): string {
  return fileOf(mountpoint, '.sock');
}

/** What notes the VMs that the file at `path`, absolute and without links, was handed to. */
export function attachmentsPathOf(path: string): string {
  return fileOf(path, '.vms.json');
}
