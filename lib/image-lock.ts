/**
 * Keeps two programs from writing one image: the byte locks of QEMU's file driver (docs/system/qemu-block-drivers,
 * "Disk image file locking"), so that QEMU, qemu-img and a second luksfuse see ours and we see theirs.
 *
 * Each permission has two bytes. Whoever uses it holds a lock on 100 + n, whoever does not let others use it one on
 * 200 + n; all locks are shared, and a conflict is the lock of another on the opposite byte.
 * Knows nothing of LUKS.
 */
import fs from 'node:fs';
import createDebug from 'debug';
import type { Device } from './device.js';
import { LuksError } from './errors.js';
import { claimBytes } from './native/ofd-lock.js';

const debug = createDebug('luksfuse:lock');

const USED_BASE = 100;
const NOT_SHARED_BASE = 200;

/** Numbers of the permissions, and bytes, in QEMU's protocol. */
const CONSISTENT_READ = 0;
const WRITE = 1;
const RESIZE = 3;

/** A reader lets others read; a writer too, but none that counts on what it reads. */
const CLAIMS = {
  reader: { used: [CONSISTENT_READ], notShared: [WRITE, RESIZE] },
  writer: { used: [CONSISTENT_READ, WRITE], notShared: [CONSISTENT_READ, WRITE, RESIZE] },
} as const;

type Role = keyof typeof CLAIMS;

/** The bytes of a role: its own, or with the bases exchanged those that oppose it. */
function bytesOf(role: Role, usedBase: number, notSharedBase: number): number[] {
  const { used, notShared } = CLAIMS[role];
  return [
    ...used.map((permission) => usedBase + permission),
    ...notShared.map((permission) => notSharedBase + permission),
  ];
}

/** What each open device has claimed: claiming it again is free, and failing to claim more loses nothing. */
const claims = new WeakMap<Device, Role>();

/**
 * Processes that have the file open, among those we may look at, without this one. Links are compared, not what they
 * lead to: another's file may lie on a mount that never answers.
 */
function findUsers(device: Device): number[] {
  const own = fs.readlinkSync(`/proc/self/fd/${device.fd}`);
  const hasOpen = (pid: number) => {
    try {
      const dir = `/proc/${pid}/fd`;
      return fs.readdirSync(dir).some((fd) => findLink(`${dir}/${fd}`) === own);
    } catch {
      return false;
    }
  };
  return fs
    .readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && hasOpen(pid));
}

/** Null where the descriptor was closed meanwhile. */
function findLink(link: string): string | null {
  try {
    return fs.readlinkSync(link);
  } catch {
    return null;
  }
}

function inUse(device: Device, role: Role): LuksError {
  const users = findUsers(device);
  const who = users.length === 0 ? 'another program' : `process ${users.join(', ')}`;
  const how = role === 'writer' ? 'in use' : 'being written';
  return new LuksError('BUSY', `${device.path} is ${how} by ${who}; unmount it there, or wait`);
}

/**
 * Claims the image behind `device` until its descriptor is closed, here and in every process that inherited it.
 * Writers exclude all others, readers only writers, also within one process. A device that has the claim, or a writer's,
 * keeps it. Throws BUSY, naming the process where it can be found.
 */
export function lockImage(device: Device, role: Role): void {
  const earlier = claims.get(device);
  if (earlier === role || earlier === 'writer') return;
  const before = earlier ? bytesOf(earlier, USED_BASE, NOT_SHARED_BASE) : [];
  const held = bytesOf(role, USED_BASE, NOT_SHARED_BASE).filter((byte) => !before.includes(byte));
  const isOurs = claimBytes(device.fd, held, bytesOf(role, NOT_SHARED_BASE, USED_BASE));
  if (isOurs === null) debug('%s cannot be locked: nothing keeps a second writer away', device.path);
  if (isOurs === false) throw inUse(device, role);
  claims.set(device, role);
}

/** Whether a program uses the image behind `device`; false where that cannot be told. Takes no lock. */
export function isClaimed(device: Device): boolean {
  return claimBytes(device.fd, [], [USED_BASE + WRITE, NOT_SHARED_BASE + WRITE]) === false;
}
