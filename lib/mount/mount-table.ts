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

/** The mountpoints of all luksfuse mounts, living or dead, in the order they were mounted. */
export function listMountpoints(): string[] {
  const mountpoints: string[] = [];
  for (const line of fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    // ID parent major:minor root mountpoint options [optional…] - type source superoptions
    const [place, kind] = line.split(' - ');
    const mountpoint = place?.split(' ')[4];
    if (mountpoint && kind && isOurs(kind)) mountpoints.push(decodeEscapes(mountpoint));
  }
  return mountpoints;
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
