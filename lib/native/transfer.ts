/**
 * read(2), pread(2), write(2) and pwrite(2), as `fs.readSync` and `fs.writeSync` make them, and a quarter of a
 * microsecond cheaper for memory whose address was noted once. All else, and all where koffi cannot be used, is left to
 * node:fs.
 */
import fs from 'node:fs';
import { constants } from 'node:os';
import { checkResult } from './call.js';
import { findFunction, lastErrno } from './library.js';
import { addressOf } from './memory.js';
import { ViewOffsets } from './view-offsets.js';

type Transfer = (fd: number, address: number, lengthBytes: number) => number;
type TransferAt = (fd: number, address: number, lengthBytes: number, offsetBytes: number) => number;

const cRead = findFunction<Transfer>('intptr_t read(int fd, uint64_t address, size_t length)');
const cWrite = findFunction<Transfer>('intptr_t write(int fd, uint64_t address, size_t length)');
const cReadAt = findFunction<TransferAt>(
  'intptr_t pread(int fd, uint64_t address, size_t length, int64_t offset)',
);
const cWriteAt = findFunction<TransferAt>(
  'intptr_t pwrite(int fd, uint64_t address, size_t length, int64_t offset)',
);

interface PinnedMemory {
  views: ViewOffsets;
  /** Of its first byte. */
  address: number;
}

/** This thread's. */
let pinned: PinnedMemory | null = null;

/**
 * Notes the memory that this thread transfers most to and from, for as long as the thread lives: it must neither be
 * resized nor detached. What was noted before is forgotten.
 */
export function pinMemory(memory: ArrayBufferLike): void {
  const address = addressOf(new Uint8Array(memory));
  pinned =
    address !== null && cRead && cWrite && cReadAt && cWriteAt
      ? { views: new ViewOffsets(memory), address }
      : null;
}

/** The address of `bytes[start]` where all of the range lies in pinned memory, else 0. */
function findAddress(bytes: Uint8Array, start: number, lengthBytes: number): number {
  if (pinned === null || start < 0 || lengthBytes < 0 || start + lengthBytes > bytes.length) return 0;
  const offset = pinned.views.find(bytes);
  return offset === null ? 0 : pinned.address + offset + start;
}

/** One call of C; a signal that came before the first byte is not the caller's concern, as with libuv. */
function transfer(
  here: Transfer | null,
  at: TransferAt | null,
  fd: number,
  address: number,
  lengthBytes: number,
  offsetBytes: number | null,
): number {
  let result: number;
  do {
    result =
      offsetBytes === null ? here!(fd, address, lengthBytes) : at!(fd, address, lengthBytes, offsetBytes);
  } while (result < 0 && lastErrno() === constants.errno.EINTR);
  return result;
}

/**
 * One read(2), or pread(2) where an offset is given, to `bytes` from `start` on. Returns the bytes read; throws as
 * `fs.readSync` does.
 */
export function readInto(
  fd: number,
  bytes: Uint8Array,
  start: number,
  lengthBytes: number,
  offsetBytes: number | null,
): number {
  const address = findAddress(bytes, start, lengthBytes);
  if (address === 0) return fs.readSync(fd, bytes, start, lengthBytes, offsetBytes);
  return checkResult(transfer(cRead, cReadAt, fd, address, lengthBytes, offsetBytes), 'read');
}

/**
 * One read(2) from a descriptor that does not wait. Returns the bytes read; 0 where it fails, which is cheaper than to throw:
 * that nothing is there is an answer.
 */
export function tryRead(fd: number, bytes: Uint8Array, start: number, lengthBytes: number): number {
  const address = findAddress(bytes, start, lengthBytes);
  if (address !== 0) return Math.max(0, cRead!(fd, address, lengthBytes));
  try {
    return fs.readSync(fd, bytes, start, lengthBytes, null);
  } catch {
    return 0;
  }
}

/** One write(2) or pwrite(2) of `bytes` from `start` on. Returns the bytes written; throws as `fs.writeSync` does. */
export function writeFrom(
  fd: number,
  bytes: Uint8Array,
  start: number,
  lengthBytes: number,
  offsetBytes: number | null,
): number {
  const address = findAddress(bytes, start, lengthBytes);
  if (address === 0) return fs.writeSync(fd, bytes, start, lengthBytes, offsetBytes);
  return checkResult(transfer(cWrite, cWriteAt, fd, address, lengthBytes, offsetBytes), 'write');
}
