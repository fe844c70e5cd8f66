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

function inUse(device: Device, role: keyof typeof CLAIMS): LuksError {
  const users = findUsers(device);
  const who = users.length === 0 ? 'another program' : `process ${users.join(', ')}`;
  const how = role === 'writer' ? 'in use' : 'being written';
  return new LuksError('BUSY', `${device.path} is ${how} by ${who}; unmount it there, or wait`);
}

/**
 * Claims the image behind `device` until its descriptor is closed, here and in every process that inherited it.
 * Writers exclude all others, readers only writers. Throws BUSY, naming the process where it can be found.
 */
export function lockImage(device: Device, role: keyof typeof CLAIMS): void {
  const { used, notShared } = CLAIMS[role];
  const bytes = (usedBase: number, notSharedBase: number) => [
    ...used.map((permission) => usedBase + permission),
    ...notShared.map((permission) => notSharedBase + permission),
  ];
  const isOurs = claimBytes(device.fd, bytes(USED_BASE, NOT_SHARED_BASE), bytes(NOT_SHARED_BASE, USED_BASE));
  if (isOurs === null) debug('%s cannot be locked: nothing keeps a second writer away', device.path);
  if (isOurs === false) throw inUse(device, role);
}

/** Whether a program uses the image behind `device`; false where that cannot be told. Takes no lock. */
export function isClaimed(device: Device): boolean {
  return claimBytes(device.fd, [], [USED_BASE + WRITE, NOT_SHARED_BASE + WRITE]) === false;
}
