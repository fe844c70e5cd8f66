/**
 * Memory that several threads see by a handle, and, where a file in memory lies behind it, also the processes that
 * inherit its descriptor: what is written there outlives the one that wrote it.
 * Knows nothing of what is kept in it.
 */
import fs from 'node:fs';
import { checkResult, orUnsupported } from './call.js';
import { findFunction, koffi } from './library.js';

const MFD_CLOEXEC = 1;
const PROT_READ_WRITE = 0x3;
const MAP_SHARED = 0x01;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

const cMemfdCreate = findFunction<(name: string, flags: number) => number>(
  'int memfd_create(const char *name, unsigned int flags)',
);
const cFtruncate = findFunction<(fd: number, length: number) => number>(
  'int ftruncate(int fd, int64_t length)',
);
const cMmap = findFunction<
  (at: null, length: number, prot: number, flags: number, fd: number, offset: number) => bigint
>('void *mmap(void *at, size_t length, int prot, int flags, int fd, int64_t offset)');

/** Structured-cloneable: what one thread hands to another. A mapping lives as long as its process. */
export type MemoryHandle = SharedArrayBuffer | { address: bigint; sizeBytes: number };

/** The memory behind a handle. Atomics work on it, but for waiting, which only a SharedArrayBuffer can do. */
export function viewMemory(handle: MemoryHandle): ArrayBufferLike {
  return handle instanceof SharedArrayBuffer ? handle : koffi!.view(handle.address, handle.sizeBytes);
}

/** Why processes cannot share memory by the functions below; null if they can. */
export function findSharingObstacle(): string | null {
  try {
    fs.closeSync(createMemoryFile(1));
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** The descriptor of zeroed memory with no name in any directory (memfd_create(2)). */
export function createMemoryFile(sizeBytes: number): number {
  const fd = checkResult(
    orUnsupported(cMemfdCreate, 'memfd_create')('luksfuse', MFD_CLOEXEC),
    'memfd_create',
  );
  checkResult(orUnsupported(cFtruncate, 'ftruncate')(fd, sizeBytes), 'ftruncate');
  return fd;
}

/** Maps the memory behind `fd`; returns its address. The descriptor may be closed afterwards. */
export function mapMemoryFile(fd: number, sizeBytes: number): bigint {
  const call = orUnsupported(cMmap, 'mmap');
  const address = BigInt.asUintN(64, call(null, sizeBytes, PROT_READ_WRITE, MAP_SHARED, fd, 0));
  if (address === MAP_FAILED) checkResult(-1, 'mmap');
  return address;
}
