/**
 * The lock that keeps two programs from changing one header at a time, by the protocol cryptsetup follows:
 * flock(2) on the file itself, or for a block device on a file named after its numbers (libcryptsetup's
 * device locking, default path).
 */
import fs from 'node:fs';
import createDebug from 'debug';
import type { Device } from '../device.js';
import { isSystemError, LuksError } from '../errors.js';
import { flockWithin } from '../native/file.js';

const debug = createDebug('luksfuse:format');

const LOCK_DIR = '/run/cryptsetup';
const PATIENCE_MS = 5000;

/** A descriptor of its own: the lock belongs to it, and is gone when it is closed. */
function openLockFile(device: Device): number {
  const self = `/proc/self/fd/${device.fd}`;
  if (!device.isBlockDevice) return fs.openSync(fs.existsSync(self) ? self : device.path, 'r');
  const { rdev } = fs.fstatSync(device.fd, { bigint: true });
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  fs.mkdirSync(LOCK_DIR, { recursive: true, mode: 0o700 });
  return fs.openSync(`${LOCK_DIR}/L_${major}:${minor}`, 'a+', 0o600);
}

/** Waits for the lock. Throws BUSY with the message `held` if another program keeps it. */
async function lock(fd: number, held: string): Promise<void> {
  if (!(await flockWithin(fd, PATIENCE_MS))) throw new LuksError('BUSY', held);
}

/** Runs `use` while no other program that keeps to the protocol reads or writes the header. */
export async function withHeaderLock<T>(device: Device, use: () => Promise<T>): Promise<T> {
  const fd = openLockFile(device);
  try {
    await lock(fd, `the header of ${device.path} is locked by another program; try again when it is done`);
    return await use();
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Runs `use` while no other program that keeps to the protocol works on the reencryption of the volume with this UUID
 * (libcryptsetup's lock of a named resource). Who may not write to the locks' directory has no such lock.
 */
export async function withReencryptionLock<T>(uuid: string, use: () => Promise<T>): Promise<T> {
  let fd: number;
  try {
    fs.mkdirSync(LOCK_DIR, { recursive: true, mode: 0o700 });
    fd = fs.openSync(`${LOCK_DIR}/LN_LUKS2-reencryption-${uuid}`, 'a+', 0o600);
  } catch (error) {
    if (!isSystemError(error) || (error.code !== 'EACCES' && error.code !== 'EROFS')) throw error;
    debug('no lock against another reencryption: %s', error.message);
    return use();
  }
  try {
    await lock(fd, `another program works on the reencryption of volume ${uuid}; let it finish`);
    return await use();
  } finally {
    fs.closeSync(fd);
  }
}
