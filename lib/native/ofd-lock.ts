/**
 * Open-file-description locks on single bytes: fcntl(2), "Open file description locks". They belong to the open
 * descriptor, cross to a child that inherits it, and end when its last copy is closed.
 */
import { isSystemError } from '../errors.js';
import { checkResult } from './call.js';
import { findFunction } from './library.js';

const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
/** struct flock of 64-bit Linux: l_type 0 (i16), l_whence 2 (i16), l_start 8 (i64), l_len 16 (i64), l_pid 24 (i32). */
const STRUCT_FLOCK_BYTES = 32;

const fcntl = findFunction<(fd: number, command: number, lock: Uint8Array) => number>(
  'int fcntl(int fd, int command, void *lock)',
);

function byteLock(type: number, offsetBytes: number): Buffer {
  const lock = Buffer.alloc(STRUCT_FLOCK_BYTES);
  lock.writeInt16LE(type, 0);
  lock.writeBigInt64LE(BigInt(offsetBytes), 8);
  lock.writeBigInt64LE(1n, 16);
  return lock;
}

/** False where this machine or this file system cannot lock at all. */
export function canLock(fd: number): boolean {
  try {
    isByteLockedByOthers(fd, 0);
    return fcntl !== null;
  } catch (error) {
    return !(
      isSystemError(error) && ['EINVAL', 'ENOLCK', 'ENOSYS', 'EOPNOTSUPP', 'ENOTSUP'].includes(error.code)
    );
  }
}

/** Takes a shared lock on one byte, which any number may hold. In QEMU's protocol nobody takes one exclusively. */
export function lockByteShared(fd: number, offsetBytes: number): void {
  if (fcntl) checkResult(fcntl(fd, F_OFD_SETLK, byteLock(F_RDLCK, offsetBytes)), 'fcntl');
}

/** Gives all locks of the descriptor up. */
export function unlockAll(fd: number): void {
  const lock = byteLock(F_UNLCK, 0);
  lock.writeBigInt64LE(0n, 16); // to the end
  if (fcntl) checkResult(fcntl(fd, F_OFD_SETLK, lock), 'fcntl');
}

/** True where another open file description holds a lock on the byte. */
export function isByteLockedByOthers(fd: number, offsetBytes: number): boolean {
  if (!fcntl) return false;
  const lock = byteLock(F_WRLCK, offsetBytes);
  checkResult(fcntl(fd, F_OFD_GETLK, lock), 'fcntl');
  return lock.readInt16LE(0) !== F_UNLCK;
}
