/**
 * What is mounted where: /proc/self/mountinfo (proc(5)).
 */
import fs from 'node:fs';
import path from 'node:path';
import { FILE_SYSTEM_TYPE, MOUNT_MARK } from '../fuse/mountpoint.js';

/** Octal escapes stand for space, tab, newline and backslash. */
function decodeEscapes(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** @param kind `type source superoptions` */
function isOurs(kind: string): boolean {
  const [type, , options] = kind.split(' ');
  // By their type alone are known those that a version before the mark has made.
  return type === FILE_SYSTEM_TYPE || options?.split(',').includes(MOUNT_MARK) === true;
}

interface MountEntry {
  mountpoint: string;
  /** The minor number of its device; the major is 0. */
  number: number;
}

/** All luksfuse mounts, living or dead, in the order they were mounted. */
function listMounts(): MountEntry[] {
  const mounts: MountEntry[] = [];
  for (const line of fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    // ID parent major:minor root mountpoint options [optional…] - type source superoptions
    const [place, kind] = line.split(' - ');
    const [, , device, , mountpoint] = place!.split(' ');
    if (!device || !mountpoint || !kind || !isOurs(kind)) continue;
    mounts.push({ mountpoint: decodeEscapes(mountpoint), number: Number(device.split(':')[1]) });
  }
  return mounts;
}

/** Their mountpoints, in the order they were mounted. */
export function listMountpoints(): string[] {
  return listMounts().map(({ mountpoint }) => mountpoint);
}

/** The number by which /sys knows the connection of the mount; null where none is there. */
export function connectionNumber(mountpoint: string): number | null {
  return listMounts().findLast((mount) => mount.mountpoint === mountpoint)?.number ?? null;
}

export function isMounted(mountpoint: string): boolean {
  return listMountpoints().includes(mountpoint);
}

/**
 * `mountpoint` as the table spells it: absolute, without links. The last component is not looked into, because
 * asking for anything under the mount of a dead daemon fails with ENOTCONN.
 */
export function canonicalMountpoint(mountpoint: string): string {
  const absolute = path.resolve(mountpoint);
  if (isMounted(absolute)) return absolute;
  const besideLinks = path.join(realPathOr(path.dirname(absolute)), path.basename(absolute));
  return isMounted(besideLinks) ? besideLinks : realPathOr(absolute);
}

function realPathOr(absolute: string): string {
  try {
    return fs.realpathSync(absolute);
  } catch {
    return absolute;
  }
}
