/**
 * The lock that keeps two programs from changing one header at a time, by the protocol cryptsetup follows:
 * flock(2) on the file itself, or for a block device on a file named after its numbers (libcryptsetup's
 * device locking, default path).
 */
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Device } from '../device.js';
import { isSystemError, LuksError } from '../errors.js';
import { flockSync, LOCK_EX, LOCK_NB } from '../native/file.js';

const LOCK_DIR = '/run/cryptsetup';
const PATIENCE_MS = 5000;
const RETRY_MS = 50;

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

async function lock(fd: number, path: string): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      flockSync(fd, LOCK_EX | LOCK_NB);
      return;
    } catch (error) {
      if (!isSystemError(error) || error.code !== 'EAGAIN') throw error;
      if (Date.now() > deadline) {
        throw new LuksError(
          'BUSY',
          `the header of ${path} is locked by another program; try again when it is done`,
        );
      }
    }
    await sleep(RETRY_MS);
  }
}

/** Runs `use` while no other program that keeps to the protocol reads or writes the header. */
export async function withHeaderLock<T>(device: Device, use: () => Promise<T>): Promise<T> {
  const fd = openLockFile(device);
  try {
    await lock(fd, device.path);
    return await use();
  } finally {
    fs.closeSync(fd);
  }
}
