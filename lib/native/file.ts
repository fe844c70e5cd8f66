/**
 * File calls that node:fs lacks. Errors are thrown as node:fs throws them, with the errno of the call.
 */
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isSystemError } from '../errors.js';
import { checkResult, orUnsupported } from './call.js';
import { findFunction } from './library.js';
import { INHERITED_FD, runPerl } from './perl.js';

/** include/uapi/linux/falloc.h */
export const FALLOC_FL_KEEP_SIZE = 0x01;
export const FALLOC_FL_PUNCH_HOLE = 0x02;
export const FALLOC_FL_ZERO_RANGE = 0x10;

const cFallocate = findFunction<(fd: number, mode: number, offset: number, length: number) => number>(
  'int fallocate(int fd, int mode, int64_t offset, int64_t length)',
);
/** include/uapi/linux/fs.h; the argument is the first byte and the count of bytes, two u64. */
export const BLKDISCARD = 0x1277;
/** include/uapi/asm-generic/fcntl.h, bits/fcntl.h */
export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;

/** bits/fcntl.h */
const F_GETFL = 3;
const F_SETFL = 4;

const cFcntl = findFunction<(fd: number, command: number, flags: number) => number>(
  'int fcntl(int fd, int command, long flags)',
);
const cFlock = findFunction<(fd: number, operation: number) => number>('int flock(int fd, int operation)');
const cIoctl = findFunction<(fd: number, request: number, argument: Uint8Array) => number>(
  'int ioctl(int fd, unsigned long request, void *argument)',
);

/** fallocate(2). Offsets in bytes. */
export function fallocateSync(fd: number, mode: number, offsetBytes: number, lengthBytes: number): void {
  checkResult(orUnsupported(cFallocate, 'fallocate')(fd, mode, offsetBytes, lengthBytes), 'fallocate');
}

/** ioctl(2) with a pointer to `argument`, read and written in place. Returns the call's result. */
export function ioctlSync(fd: number, request: number, argument: Uint8Array): number {
  return checkResult(orUnsupported(cIoctl, 'ioctl')(fd, request, argument), 'ioctl');
}

/**
 * Whether read(2) on `fd` waits for something to read (O_NONBLOCK). That belongs to the open file, so everyone who shares it
 * sees the change, and a library that hands the file to a child may change it back: libuv 1.53 does.
 */
export function setWaiting(fd: number, waits: boolean): void {
  const call = orUnsupported(cFcntl, 'fcntl');
  const { O_NONBLOCK } = fs.constants;
  const before = checkResult(call(fd, F_GETFL, 0), 'fcntl');
  const after = waits ? before & ~O_NONBLOCK : before | O_NONBLOCK;
  if (after !== before) checkResult(call(fd, F_SETFL, after), 'fcntl');
}

const PERL_FLOCK = `open my $file, "<&=${INHERITED_FD}" or exit $!; flock $file, $ARGV[0] or exit $!`;

/** flock(2). With LOCK_NB, EWOULDBLOCK (EAGAIN) where somebody else holds the lock. */
export function flockSync(fd: number, operation: number): void {
  if (cFlock) checkResult(cFlock(fd, operation), 'flock');
  else runPerl('flock', fd, PERL_FLOCK, [operation]);
}

const RETRY_MS = 50;

/** Waits up to `patienceMs` for an exclusive lock, which ends when `fd` is closed. False if another process still holds it. */
export async function flockWithin(fd: number, patienceMs: number): Promise<boolean> {
  for (const deadline = Date.now() + patienceMs; ; await delay(RETRY_MS)) {
    try {
      flockSync(fd, LOCK_EX | LOCK_NB);
      return true;
    } catch (error) {
      if (!isSystemError(error) || error.code !== 'EAGAIN') throw error;
      if (Date.now() > deadline) return false;
    }
  }
}

/** Whether `fallocateSync` and `ioctlSync` can give space back. */
export const canDiscard = cFallocate !== null && cIoctl !== null;
