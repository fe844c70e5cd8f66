/**
 * What can be mounted on, and how. Knows paths and options; neither the protocol nor how mounting is done.
 */
import fs from 'node:fs';
import { isSystemError, LuksError } from '../errors.js';

/** What people see in /proc/mounts; mount(8) finds /sbin/mount.fuse.luksfuse by it. */
export const FILE_SYSTEM_SUBTYPE = 'luksfuse';
export const FILE_SYSTEM_TYPE = `fuse.${FILE_SYSTEM_SUBTYPE}`;

/**
 * What we know our own mounts by. The kernel keeps it and shows it for as long as the mount is there, whoever made it, and
 * whether its daemon lives. A program that mounts may lose the subtype, as mount(8) of util-linux 2.41 does with
 * `-t fuse.luksfuse`. As a limit the number, "LUKS" in ASCII, changes nothing: FUSE_INIT settles on less.
 */
export const MOUNT_MARK = 'max_read=1280658259';

export interface Mountpoint {
  /** Absolute, without symbolic links. */
  path: string;
  isDirectory: boolean;
}

export interface MountOptions {
  /** The first column of /proc/mounts. */
  source: string;
  isReadOnly: boolean;
  /** Let users other than the mounting one in, as far as mode and owner allow. */
  allowOther: boolean;
  /** Of the other users, let only root in. */
  allowRoot: boolean;
}

/**
 * - `normal`: BUSY while a file of the mount is open.
 * - `lazy`: the name goes now, the connection when the last open file is closed.
 * - `abort`: the name goes now, and every request, waiting or to come, fails.
 */
export type UnmountManner = 'normal' | 'lazy' | 'abort';

/** What both ways of mounting ask of the kernel, in the spelling of mount(8). */
export function commonMountFlags({ isReadOnly, allowOther, allowRoot }: MountOptions): string[] {
  return [
    `subtype=${FILE_SYSTEM_SUBTYPE}`,
    MOUNT_MARK,
    // The kernel checks mode and owner; the server does not have to.
    'default_permissions',
    'nosuid',
    'nodev',
    'noatime',
    isReadOnly ? 'ro' : 'rw',
    // The kernel has no allow_root: it lets all in, and the server turns those away who are not root (Server).
    ...(allowOther || allowRoot ? ['allow_other'] : []),
  ];
}

/**
 * Checks that `path` can be mounted on: a directory, or a regular file; what it holds is hidden while mounted, and
 * untouched. Throws BAD_ARGUMENT where it is neither.
 */
export function requireMountpoint(path: string): Mountpoint {
  let realPath: string;
  let stat: fs.Stats;
  try {
    realPath = fs.realpathSync(path);
    stat = fs.statSync(realPath);
  } catch (cause) {
    const hint =
      isSystemError(cause) && cause.code === 'ENOENT' ? '; make a directory or an empty file there' : '';
    throw new LuksError('BAD_ARGUMENT', `cannot mount on ${path}: ${(cause as Error).message}${hint}`, {
      cause,
    });
  }
  if (stat.isFile()) return { path: realPath, isDirectory: false };
  if (stat.isDirectory()) return { path: realPath, isDirectory: true };
  throw new LuksError(
    'BAD_ARGUMENT',
    `cannot mount on ${path}: it is neither a directory nor a regular file`,
  );
}
