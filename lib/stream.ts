/**
 * Reads what has no size beforehand (a pipe, a socket, a terminal, a file being written) to its end, into
 * memory and within a bound. Knows nothing of what the bytes mean.
 */
import fs from 'node:fs';
import { alignUp, wipe } from './bytes.js';
import { isSystemError, LuksError } from './errors.js';
import { sleepSync } from './sleep.js';

const SKIP_PIECE_BYTES = 64 * 1024;
const RETRY_MS = 10;

/** read(2) on a descriptor that may be non-blocking (a terminal or pipe shared with another program). */
export function readBlocking(fd: number, buffer: Uint8Array): number {
  for (;;) {
    try {
      return fs.readSync(fd, buffer);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EOF') return 0;
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      sleepSync(RETRY_MS);
    }
  }
}

/** Fills `buffer`; returns the bytes read, fewer only at the end of the stream. */
export function fillFrom(fd: number, buffer: Uint8Array): number {
  let done = 0;
  while (done < buffer.length) {
    const count = readBlocking(fd, buffer.subarray(done));
    if (count === 0) break;
    done += count;
  }
  return done;
}

/**
 * All bytes up to the end, or the first `limitBytes`. Pages of the bound that are not reached are never touched.
 * @returns a Buffer of its own, the caller's to wipe.
 */
export function readUpTo(fd: number, limitBytes: number): Buffer {
  const gathered = Buffer.alloc(limitBytes);
  const length = fillFrom(fd, gathered);
  if (length === limitBytes) return gathered;
  const bytes = Buffer.from(gathered.subarray(0, length));
  wipe(gathered.subarray(0, length));
  return bytes;
}

/** Reads `byteCount` bytes and forgets them; fewer where the stream ends. */
export function skipBytes(fd: number, byteCount: number): void {
  const scratch = Buffer.alloc(Math.min(SKIP_PIECE_BYTES, alignUp(byteCount, 512)));
  for (let left = byteCount; left > 0; ) {
    const count = readBlocking(fd, scratch.subarray(0, Math.min(left, scratch.length)));
    if (count === 0) break;
    left -= count;
  }
  wipe(scratch);
}

/** The number of the descriptor that a path like /dev/fd/3 or /dev/stdin stands for, or null. */
export function findDescriptor(path: string): number | null {
  if (path === '/dev/stdin') return 0;
  const digits = /^(?:\/dev|\/proc\/self)\/fd\/(\d{1,7})$/.exec(path)?.[1];
  return digits === undefined ? null : Number(digits);
}

/** What /proc says that descriptor `fd` of this process is, empty where it says nothing. */
function describeDescriptor(fd: string): string {
  try {
    return fs.readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return '';
  }
}

/** By the access mode among its flags (proc(5), fdinfo), which are octal. */
function isWritable(fd: string): boolean {
  const flags = /^flags:\s*([0-7]+)$/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'ascii'))?.[1];
  return (Number.parseInt(flags ?? '0', 8) & fs.constants.O_WRONLY) !== 0;
}

/**
 * Throws BAD_ARGUMENT where `fd` was not passed to this process. Descriptors that Node opened for itself (an
 * epoll, an eventfd, pipes with both ends here) look open, and reading one would wait for ever.
 */
export function requireInherited(fd: number): void {
  const refuse = (why: string, cause?: unknown) =>
    new LuksError('BAD_ARGUMENT', `file descriptor ${fd} ${why}; pass one that is open for reading`, {
      cause,
    });
  try {
    fs.fstatSync(fd);
  } catch (cause) {
    throw refuse(isSystemError(cause) && cause.code === 'EBADF' ? 'is not open' : 'cannot be read', cause);
  }
  const target = describeDescriptor(String(fd));
  if (target.startsWith('anon_inode:')) throw refuse('is not open');
  if (!target.startsWith('pipe:')) return;
  const isFedHere = fs
    .readdirSync('/proc/self/fd')
    .some((other) => describeDescriptor(other) === target && isWritable(other));
  if (isFedHere) throw refuse('is not open');
}
