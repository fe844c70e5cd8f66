/**
 * System calls that node:fs does not have, for what a test wants to see of them. Errors are thrown as node:fs
 * throws them.
 */
import { getSystemErrorName } from 'node:util';
import { findFunction, koffi, lastErrno } from '../../lib/native/library.js';

export const PROT_READ_WRITE = 3;
export const MAP_SHARED = 1;
export const MS_SYNC = 4;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

function bind<F extends (...args: never[]) => number | bigint>(prototype: string): F {
  const call = findFunction<F>(prototype);
  if (!call) throw new Error(`not in this process: ${prototype}`);
  return ((...args: Parameters<F>) => {
    const result = call(...args);
    if (Number(BigInt.asIntN(64, BigInt(result))) >= 0) return result;
    const errno = -lastErrno();
    throw Object.assign(new Error(prototype), { errno, code: getSystemErrorName(errno) });
  }) as unknown as F;
}

/** truncate(2) by path; node's own opens the file and calls ftruncate(2). */
export const truncate = bind<(path: string, size: number) => number>(
  'int truncate(const char *path, int64_t size)',
);
export const lseek = bind<(fd: number, offset: number, whence: number) => number>(
  'int64_t lseek(int fd, int64_t offset, int whence)',
);
/** The offsets are one-element arrays, moved on by the call. */
export const copyFileRange = bind<
  (
    from: number,
    fromAt: BigInt64Array,
    to: number,
    toAt: BigInt64Array,
    size: number,
    flags: number,
  ) => number
>('intptr_t copy_file_range(int from, void *fromAt, int to, void *toAt, size_t size, unsigned int flags)');

export const F_GETFL = 3;
export const F_SETFL = 4;
export const fcntl = bind<(fd: number, command: number, flags: number) => number>(
  'int fcntl(int fd, int command, long flags)',
);

export const mmap = bind<
  (at: null, size: number, prot: number, flags: number, fd: number, offset: number) => bigint
>('void *mmap(void *at, size_t size, int prot, int flags, int fd, int64_t offset)');
export const msync = bind<(at: bigint, size: number, flags: number) => number>(
  'int msync(void *at, size_t size, int flags)',
);
export const munmap = bind<(at: bigint, size: number) => number>('int munmap(void *at, size_t size)');

/** Gives `work` the first `sizeBytes` of the file as shared memory, and writes back what it changed there. */
export function withSharedMapping(fd: number, sizeBytes: number, work: (memory: Buffer) => void): void {
  const address = mmap(null, sizeBytes, PROT_READ_WRITE, MAP_SHARED, fd, 0);
  try {
    work(Buffer.from(koffi!.view(address, sizeBytes)));
    msync(address, sizeBytes, MS_SYNC);
  } finally {
    munmap(address, sizeBytes);
  }
}

export const setxattr = bind<
  (path: string, name: string, value: Uint8Array, size: number, flags: number) => number
>('int setxattr(const char *path, const char *name, const void *value, size_t size, int flags)');
