/**
 * Memory that never reaches swap, a core dump or a forked child, and a process nobody may trace.
 * Knows nothing of what is kept in it.
 */
import fs from 'node:fs';
import createDebug from 'debug';
import { findFunction, koffi } from './library.js';
import { PAGE_BYTES } from './page-size.js';

const debug = createDebug('luksfuse:native');

const PROT_READ_WRITE = 0x3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;
const MADV_DONTDUMP = 16;
const MADV_WIPEONFORK = 18;
const PR_SET_DUMPABLE = 4;
const RLIMIT_CORE = 4;

const mmap = findFunction<
  (at: null, length: number, prot: number, flags: number, fd: number, offset: number) => bigint
>('void *mmap(void *at, size_t length, int prot, int flags, int fd, int64_t offset)');
const munmap = findFunction<(at: bigint, length: number) => number>('int munmap(void *at, size_t length)');
const mlock = findFunction<(at: bigint, length: number) => number>('int mlock(void *at, size_t length)');
const madvise = findFunction<(at: bigint, length: number, advice: number) => number>(
  'int madvise(void *at, size_t length, int advice)',
);
const prctl = findFunction<(option: number, a: number, b: number, c: number, d: number) => number>(
  'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
);
/** Only glibc's: others end the process where an address is not that of an object after all. */
const mallocUsableSize =
  findFunction('const char *gnu_get_libc_version()') &&
  findFunction<(object: number) => number>('size_t malloc_usable_size(uint64_t object)');
const setrlimit = findFunction<(resource: number, limits: BigUint64Array) => number>(
  'int setrlimit(int resource, void *limits)',
);

/** Whole pages of locked memory; `address` is valid in every thread of the process until `freeLocked`. */
export interface LockedPages {
  address: bigint;
  sizeBytes: number;
}

let isRefused = false;

/** True where keys of this thread lie in memory that could not be locked. */
export function hasUnlockedKeys(): boolean {
  return isRefused;
}

function note(isLocked: boolean): boolean {
  isRefused ||= !isLocked;
  return isLocked;
}

/**
 * Maps zeroed, locked, undumpable pages for at least `sizeBytes`. Null where the machine has no koffi or
 * RLIMIT_MEMLOCK is used up.
 */
export function allocateLocked(sizeBytes: number): LockedPages | null {
  const pages = mapLocked(sizeBytes);
  note(pages !== null);
  return pages;
}

function mapLocked(sizeBytes: number): LockedPages | null {
  if (!mmap || !mlock || !madvise || !munmap) return null;
  const length = Math.ceil(sizeBytes / PAGE_BYTES) * PAGE_BYTES;
  const address = BigInt.asUintN(64, mmap(null, length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0));
  if (address === MAP_FAILED) return null;
  if (mlock(address, length) !== 0) {
    munmap(address, length);
    return null;
  }
  madvise(address, length, MADV_DONTDUMP);
  madvise(address, length, MADV_WIPEONFORK);
  return { address, sizeBytes: length };
}

/** The pages as a Buffer over the same memory. It must not be touched after `freeLocked`. */
export function viewLocked(address: bigint, sizeBytes: number): Buffer {
  return Buffer.from(koffi!.view(address, sizeBytes));
}

export function freeLocked(pages: LockedPages): void {
  munmap?.(pages.address, pages.sizeBytes);
}

/**
 * The machine address of the first byte of `buffer`, or null without koffi. It holds as long as the buffer is
 * kept alive, does not live in a resizable ArrayBuffer, and is large enough that V8 keeps it off its own heap.
 */
export function addressOf(buffer: Uint8Array): number | null {
  return koffi ? Number(koffi.address(buffer)) : null;
}

/** Keeps memory of someone else's from swap and core dumps. False where RLIMIT_MEMLOCK forbids it. */
export function lockMemory(address: number, sizeBytes: number): boolean {
  return note(lockRange(address, sizeBytes));
}

function lockRange(address: number, sizeBytes: number): boolean {
  if (!mlock || !madvise || mlock(BigInt(address), sizeBytes) !== 0) return false;
  madvise(BigInt(address), sizeBytes, MADV_DONTDUMP);
  return true;
}

/** No object on the heap that has a key schedule is larger: Blowfish's has 4168 bytes. */
const MAX_POINTEE_BYTES = 4608;
/** Before an object of malloc(3), with its size. */
const HEAD_BYTES = 16;
/** Addresses of user space begin above the first pages and end below this (x86-64, arm64 with 48 bits). */
const MIN_ADDRESS = 65_536n;
const END_OF_ADDRESSES = 2n ** 48n;

function lockPagesAround(address: number, sizeBytes: number): boolean {
  const start = address - (address % PAGE_BYTES);
  return lockRange(start, Math.ceil((address + sizeBytes - start) / PAGE_BYTES) * PAGE_BYTES);
}

function viewHeapObject(address: number, sizeBytes: number): BigUint64Array {
  return new BigUint64Array(koffi!.view(BigInt(address), sizeBytes - (sizeBytes % 8)));
}

/** The words of an object of malloc(3) as they are now, for `lockHeapObject` to tell those that came later. */
export function copyHeapObject(address: number): BigUint64Array {
  return koffi && mallocUsableSize
    ? viewHeapObject(address, mallocUsableSize(address)).slice()
    : new BigUint64Array();
}

/**
 * Locks the object of malloc(3) at an address, if it is one, and no page more. Behind the heap there may be V8's, which
 * gives pages of its code back by madvise(MADV_DONTNEED): that fails for locked ones, and ends the process.
 */
function lockPointee(address: number): void {
  // What is no address after all is refused by mlock(2), and must not be read.
  if (!lockPagesAround(address - HEAD_BYTES, HEAD_BYTES)) return;
  const sizeBytes = mallocUsableSize!(address);
  if (sizeBytes <= MAX_POINTEE_BYTES) lockPagesAround(address, sizeBytes);
}

/**
 * Keeps the pages of an object of malloc(3), and of what it has come to point to since it consisted of `before`, from swap
 * and core dumps as long as the process lives: for C structures whose insides are their library's own affair. Their
 * neighbours on those pages are locked with them. False where RLIMIT_MEMLOCK forbids it.
 */
export function lockHeapObject(address: number, before: BigUint64Array): boolean {
  if (!koffi || !mallocUsableSize) return note(false);
  const sizeBytes = mallocUsableSize(address);
  viewHeapObject(address, sizeBytes).forEach((word, index) => {
    const isAddress = word % 8n === 0n && word >= MIN_ADDRESS && word < END_OF_ADDRESSES;
    // A word that nobody wrote may be left from who had this memory before, and point anywhere.
    if (isAddress && word !== before[index]) lockPointee(Number(word));
  });
  return note(lockPagesAround(address, sizeBytes));
}

/** As `lockHeapObject`, for an object that points to nothing of the kind. */
export function lockHeapBlock(address: number): boolean {
  return note(mallocUsableSize !== null && lockPagesAround(address, mallocUsableSize(address)));
}

/** No memory in core dumps (core(5)), for this process and those it starts. */
function emptyCoreDumps(): void {
  try {
    fs.writeFileSync('/proc/self/coredump_filter', '0');
  } catch (error) {
    debug('core dumps have memory in them: %s', (error as Error).message);
  }
}

/** No core dumps, no ptrace and no /proc/PID/mem for this process from now on; without koffi only the first. */
export function makeProcessUndumpable(): void {
  if (!koffi) emptyCoreDumps();
  prctl?.(PR_SET_DUMPABLE, 0, 0, 0, 0);
  setrlimit?.(RLIMIT_CORE, new BigUint64Array([0n, 0n]));
}
