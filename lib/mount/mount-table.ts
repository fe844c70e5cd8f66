/**
 * What is mounted where: /proc/self/mountinfo (proc(5)).
 */
import fs from 'node:fs';
import path from 'node:path';
import { LuksError } from '../errors.js';
import { FILE_SYSTEM_TYPE, MOUNT_MARK } from '../fuse/mountpoint.js';
import { decodeName } from '../native/raw-names.js';

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

/** A luksfuse mount, whether its daemon lives or not. */
export interface MountEntry {
  mountpoint: string;
  /** Of the mount, and of the one that it lies on. */
  id: number;
  parentId: number;
  /** The number by which the kernel knows the connection, whatever path it is reached by: the minor one of its device. */
  connection: number;
  /** Who mounted it. */
  ownerUid: number;
  /** The path of the payload. */
  source: string;
}

/** In the order they were mounted. */
export function listMounts(): MountEntry[] {
  const mounts: MountEntry[] = [];
  for (const line of decodeName(fs.readFileSync('/proc/self/mountinfo')).split('\n')) {
    // ID parent major:minor root mountpoint options [optional…] - type source superoptions
    const [place, kind] = line.split(' - ');
    const [id, parentId, device, , mountpoint] = place!.split(' ');
    if (!device || !mountpoint || !kind || !isOurs(kind)) continue;
    const [, source, options] = kind.split(' ');
    mounts.push({
      mountpoint: decodeEscapes(mountpoint),
      ...{ id: Number(id), parentId: Number(parentId), connection: Number(device.split(':')[1]) },
      ownerUid: Number(/(?:^|,)user_id=(\d+)/.exec(options!)?.[1]),
      source: decodeEscapes(source!),
    });
  }
  return mounts;
}

/** The mount on `mountpoint`, the last where there are several; null where luksfuse has none there. */
export function findMount(mountpoint: string): MountEntry | null {
  return listMounts().findLast((mount) => mount.mountpoint === mountpoint) ?? null;
}

/** The mount at a path that a person gave. Throws BAD_ARGUMENT where luksfuse has none there. */
export function requireMount(path: string): MountEntry {
  const mount = findMount(canonicalMountpoint(path));
  if (mount) return mount;
  throw new LuksError('BAD_ARGUMENT', `nothing is mounted on ${path} by luksfuse`);
}

export function isMounted(mountpoint: string): boolean {
  return findMount(mountpoint) !== null;
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
