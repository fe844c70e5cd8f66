/**
 * The WASM memory of this thread and the kernels that work in it (wasm/assembly). The memory is fixed in size,
 * since growing it would move it away under the Buffers handed out here. Everything a cipher touches lies in
 * it, so that the kernels and OpenSSL work on the same bytes without a copy. Knows no cipher.
 */
import createDebug from 'debug';
import { alignUp } from '../bytes.js';
import { LuksError } from '../errors.js';
import { addressOf, lockMemory } from '../native/memory.js';
import { PAGE_BYTES as MACHINE_PAGE_BYTES } from '../native/page-size.js';
import { pinMemory } from '../native/transfer.js';
import { ViewOffsets } from '../native/view-offsets.js';
import type { KernelFunctions } from './kernel-functions.js';
import { MEMORY_PAGES, WASM_BASE64 } from './wasm/kernel.wasm.js';

const debug = createDebug('luksfuse:kernel');

const PAGE_BYTES = 65536;
const LINE_BYTES = 64;
/** What one pass of a cipher covers: large enough to drown the calls, small enough to stay in the L1 cache. */
export const CHUNK_BYTES = 32768;

/** The regions, in order; untouched pages of them cost no memory. */
const KEYS_OFFSET = PAGE_BYTES;
/** Engines read the blocks before and behind the data as well: no key before it, and no end of the memory behind it. */
const MARGIN_BYTES = 64;
const CHUNK_OFFSET = KEYS_OFFSET + PAGE_BYTES;
const WORK_OFFSET = CHUNK_OFFSET + CHUNK_BYTES;
const TURNED_OFFSET = WORK_OFFSET + CHUNK_BYTES;
const IVS_OFFSET = TURNED_OFFSET + PAGE_BYTES;
/** The IVs take 32 bytes for each of at most 64 sectors; the rest of their page is for blocks beside them. */
const SIDE_OFFSET = IVS_OFFSET + PAGE_BYTES / 2;
const IO_OFFSET = IVS_OFFSET + PAGE_BYTES;
const END_OFFSET = MEMORY_PAGES * PAGE_BYTES - MARGIN_BYTES;

/** Hands out a region front to back; what is released serves the next request of the same size. */
class Arena {
  #nextOffset: number;
  readonly #endOffset: number;
  readonly #pageBytes: number;
  readonly #released = new Map<number, number[]>();

  /** @param pageBytes what a page of the machine or more is aligned to; all else is to a line of the cache */
  constructor(startOffset: number, endOffset: number, pageBytes = LINE_BYTES) {
    this.#nextOffset = startOffset;
    this.#endOffset = endOffset;
    this.#pageBytes = pageBytes;
  }

  /** The offset of `sizeBytes`, aligned, or null where the region is used up. */
  find(sizeBytes: number): number | null {
    const size = alignUp(sizeBytes, LINE_BYTES);
    const reused = this.#released.get(size)?.pop();
    if (reused !== undefined) return reused;
    const offset = alignUp(this.#nextOffset, size < MACHINE_PAGE_BYTES ? LINE_BYTES : this.#pageBytes);
    if (offset + size > this.#endOffset) return null;
    this.#nextOffset = offset + size;
    return offset;
  }

  release(offset: number, sizeBytes: number): void {
    const size = alignUp(sizeBytes, LINE_BYTES);
    const sameSize = this.#released.get(size);
    if (sameSize) sameSize.push(offset);
    else this.#released.set(size, [offset]);
  }
}

function compileModule(): WebAssembly.Module {
  try {
    return new WebAssembly.Module(Buffer.from(WASM_BASE64, 'base64'));
  } catch (cause) {
    const why = `Node.js cannot compile the cipher code for this processor: ${(cause as Error).message}`;
    const cure = 'it takes SIMD instructions (SSE4.1 on x86); give a virtual machine a newer CPU model';
    throw new LuksError('UNSUPPORTED', `${why}; ${cure}`, { cause });
  }
}

/** One a thread, by `requireKernel`. */
export class Kernel {
  /** Where a piece of data from elsewhere is worked on, `CHUNK_BYTES`. */
  readonly chunkOffset = CHUNK_OFFSET;
  /** A second such piece, for the modes. */
  readonly workOffset = WORK_OFFSET;
  /** A third, and a block more, for the engines. */
  readonly turnedOffset = TURNED_OFFSET;
  /** The IVs of one chunk's sectors. */
  readonly ivsOffset = IVS_OFFSET;
  /** Room for some blocks a sector, for the modes. */
  readonly sideOffset = SIDE_OFFSET;
  readonly bytes: Buffer;
  readonly functions: KernelFunctions;
  /** The machine address of offset 0, or null where no native code can be called. */
  readonly address: number | null;
  /** The system takes every page in hand that it copies to or from. */
  readonly #io = new Arena(IO_OFFSET, END_OFFSET, MACHINE_PAGE_BYTES);
  readonly #keys = new Arena(KEYS_OFFSET, CHUNK_OFFSET - MARGIN_BYTES);
  readonly #views: ViewOffsets;
  #areKeysLocked = false;

  constructor() {
    const memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES });
    const instance = new WebAssembly.Instance(compileModule(), { env: { memory } });
    this.functions = instance.exports as unknown as KernelFunctions;
    this.#views = new ViewOffsets(memory.buffer);
    this.bytes = Buffer.from(memory.buffer);
    this.address = addressOf(this.bytes);
  }

  /** The offset of `data` where it lies in this memory, else null. */
  findOffset(data: Uint8Array): number | null {
    return this.#views.find(data);
  }

  findIoBuffer(sizeBytes: number): Buffer | null {
    const offset = this.#io.find(sizeBytes);
    return offset === null ? null : this.bytes.subarray(offset, offset + sizeBytes);
  }

  releaseIoBuffer(buffer: Buffer): void {
    const offset = this.findOffset(buffer);
    if (offset !== null) this.#io.release(offset, buffer.length);
  }

  /** Zeroes a piece of `lengthBytes` at `chunkOffset` and what modes and engines have made of it beside. */
  wipePiece(lengthBytes: number): void {
    for (const offset of [CHUNK_OFFSET, WORK_OFFSET, TURNED_OFFSET]) {
      this.bytes.fill(0, offset, offset + lengthBytes + MARGIN_BYTES);
    }
  }

  /**
   * The offset of zeroed room for a key schedule, in pages that are locked where the system allows it.
   * Throws NO_MEMORY: a thread has room for some ten large keys.
   */
  allocateKey(sizeBytes: number): number {
    if (!this.#areKeysLocked) {
      this.#areKeysLocked = this.address !== null && lockMemory(this.address + KEYS_OFFSET, PAGE_BYTES);
      if (!this.#areKeysLocked) debug('the key schedules of this thread stay in swappable memory');
    }
    const offset = this.#keys.find(sizeBytes);
    if (offset === null) {
      throw new LuksError('NO_MEMORY', 'too many ciphers are in use on this thread; close some volumes');
    }
    return offset;
  }

  /** Wipes and releases what `allocateKey` gave. */
  releaseKey(offset: number, sizeBytes: number): void {
    this.bytes.fill(0, offset, offset + sizeBytes);
    this.#keys.release(offset, sizeBytes);
  }
}

let threadKernel: Kernel | null = null;

/** This thread's kernel, made on first use. */
export function requireKernel(): Kernel {
  if (!threadKernel) {
    threadKernel = new Kernel();
    pinMemory(threadKernel.bytes.buffer);
  }
  return threadKernel;
}

/**
 * A buffer that ciphers of this thread work on without a copy. Some 4.7 MiB are there a thread; beyond that
 * it is an ordinary Buffer, with which everything works as well, only slower. Give it back with
 * `releaseIoBuffer`. Contents are undefined.
 */
export function allocateIoBuffer(sizeBytes: number): Buffer {
  const buffer = requireKernel().findIoBuffer(sizeBytes);
  if (!buffer) debug('no room for an I/O buffer of %d bytes: ciphers will copy', sizeBytes);
  return buffer ?? Buffer.alloc(sizeBytes);
}

/** Ends the use of a buffer of `allocateIoBuffer`, whole as it was given. */
export function releaseIoBuffer(buffer: Buffer): void {
  requireKernel().releaseIoBuffer(buffer);
}
