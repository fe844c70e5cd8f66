/**
 * How the file is open at present, in all threads: through the page cache, or past it; never both at once.
 *
 * Why never both: a write through an FOPEN_DIRECT_IO handle drops the range from the page cache before it is sent
 * (fuse_direct_io) and not again after it, so a buffered read at the same moment could leave the old bytes in the
 * cache for good. The first handle decides, and those that come while it is open follow: O_DIRECT through the
 * cache is coherent (generic_file_direct_write), only slower, and so is buffered I/O past it.
 *
 * A server that dies may have counted a request that it has not answered, which the next one gets again. What is
 * resent is therefore counted in twice rather than out twice: the worst is that the file keeps to one way until it is
 * unmounted.
 */
import { type MemoryHandle, viewMemory } from '../native/shared-memory.js';

/** Of the words: handles that are open, counted upwards through the cache and downwards past it; … */
const HANDLES = 0;
/** … and 1 when the cache may hold what was written over past it: through a mapping, say. */
const IS_CACHE_STALE = 1;
/** Where the next opener is noted … */
const NEXT_OPENER = 2;
/** … in the ring of those who opened last: thread ids + 1, 0 for none. */
const OPENERS = 3;
const OPENER_COUNT = 64;

export class OpenHandles {
  readonly #words: Int32Array;

  static readonly memoryBytes = (OPENERS + OPENER_COUNT) * 4;

  constructor(memory: MemoryHandle) {
    this.#words = new Int32Array(viewMemory(memory));
  }

  static createMemory(): SharedArrayBuffer {
    return new SharedArrayBuffer(OpenHandles.memoryBytes);
  }

  /** Counts a handle in. True where it has to go past the cache. */
  open(wantsDirect: boolean): boolean {
    for (;;) {
      const handles = Atomics.load(this.#words, HANDLES);
      const isDirect = handles === 0 ? wantsDirect : handles < 0;
      if (isDirect) Atomics.store(this.#words, IS_CACHE_STALE, 1);
      if (this.#replace(handles, handles + (isDirect ? -1 : 1))) return isDirect;
    }
  }

  /** Counts a handle out. */
  release(): void {
    for (;;) {
      const handles = Atomics.load(this.#words, HANDLES);
      if (handles === 0 || this.#replace(handles, handles - Math.sign(handles))) return;
    }
  }

  /** Notes that thread `tid` is opening the file: an O_TRUNC of its open(2) comes right after, as a request of its own. */
  noteOpener(tid: number): void {
    const index = (Atomics.add(this.#words, NEXT_OPENER, 1) >>> 0) % OPENER_COUNT;
    Atomics.store(this.#words, OPENERS + index, tid + 1);
  }

  /** True once for a thread that was noted. */
  takeOpener(tid: number): boolean {
    for (let index = OPENERS; index < OPENERS + OPENER_COUNT; index++) {
      if (Atomics.compareExchange(this.#words, index, tid + 1, 0) === tid + 1) return true;
    }
    return false;
  }

  /** True once after handles went past the cache: what it holds must be dropped. */
  takeStale(): boolean {
    return Atomics.exchange(this.#words, IS_CACHE_STALE, 0) === 1;
  }

  #replace(handles: number, changed: number): boolean {
    return Atomics.compareExchange(this.#words, HANDLES, handles, changed) === handles;
  }
}
