/**
 * What fsync(2) failed with, told once to everybody who had the file open then, in all threads.
 *
 * Why: the kernel tells an error of writing back once per open file description (errseq), and all who have the mounted
 * file open share the payload's one description here. The first to ask would take the error away from the others,
 * whose data may be lost as well.
 *
 * A server may die between the sync and its answer. Then the next one gets the request again and finds nothing to sync any
 * more: so what counts is what a handle was told before that, and a sync that a dead server was in is looked into
 * (`judgeInterrupted`).
 */
import { constants } from 'node:os';
import { errnoOf, systemError } from '../errors.js';
import { type MemoryHandle, viewMemory } from '../native/shared-memory.js';

/** How many syncs have failed, … */
const FAILURES = 0;
/** … the errno of the last, … */
const LAST_ERRNO = 1;
/** … how many are under way, … */
const UNDER_WAY = 2;
/** … and for each handle how many failures it has been told of, + 1; 0 for a place that is free; … */
const KNOWN = 3;
/** Who opens the file beyond these is told of the errors of its own syncs only. */
const MAX_HANDLES = 1024;
/** … and as many as it had been told of before its last sync, in case that was never answered. */
const BEFORE = KNOWN + MAX_HANDLES;
/** The handle of those. */
const NO_HANDLE = 0;

export class SyncErrors {
  readonly #words: Int32Array;

  static readonly memoryBytes = (BEFORE + MAX_HANDLES) * 4;

  constructor(memory: MemoryHandle) {
    this.#words = new Int32Array(viewMemory(memory));
  }

  static createMemory(): SharedArrayBuffer {
    return new SharedArrayBuffer(SyncErrors.memoryBytes);
  }

  /** A handle for somebody who opens the file: fuse_open_out.fh. */
  open(): number {
    const known = Atomics.load(this.#words, FAILURES) + 1;
    for (let index = 0; index < MAX_HANDLES; index++) {
      if (Atomics.compareExchange(this.#words, KNOWN + index, 0, known) !== 0) continue;
      Atomics.store(this.#words, BEFORE + index, known);
      return index + 1;
    }
    return NO_HANDLE;
  }

  release(handle: number): void {
    if (this.#isHandle(handle)) Atomics.store(this.#words, KNOWN + handle - 1, 0);
  }

  /**
   * Runs `sync` for `handle`; throws what it throws, or else the error that another's sync had since the last one.
   * @param isResent a server that died may have done it, and not told the outcome
   */
  run(handle: number, isResent: boolean, sync: () => void): void {
    if (isResent && this.#isHandle(handle)) {
      Atomics.store(this.#words, KNOWN + handle - 1, Atomics.load(this.#words, BEFORE + handle - 1));
    }
    Atomics.add(this.#words, UNDER_WAY, 1);
    try {
      sync();
    } catch (error) {
      this.#note(error);
      this.#learn(handle, Atomics.load(this.#words, FAILURES));
      throw error;
    } finally {
      Atomics.sub(this.#words, UNDER_WAY, 1);
    }
    const failures = Atomics.load(this.#words, FAILURES);
    if (this.#learn(handle, failures)) return;
    throw systemError(this.#lastCode(), 'fsync');
  }

  /**
   * Before anything else of a server that follows another: where that was in a sync, `lookAgain` tells whether it failed, by
   * throwing. It must not be by the description that the other one synced: the kernel has told that.
   */
  judgeInterrupted(lookAgain: () => void): void {
    if (Atomics.exchange(this.#words, UNDER_WAY, 0) === 0) return;
    try {
      lookAgain();
    } catch (error) {
      this.#note(error);
    }
  }

  #note(error: unknown): void {
    Atomics.store(this.#words, LAST_ERRNO, errnoOf(error));
    Atomics.add(this.#words, FAILURES, 1);
  }

  /** True where `handle` knew of so many failures already. */
  #learn(handle: number, failures: number): boolean {
    if (!this.#isHandle(handle)) return true;
    const known = Atomics.exchange(this.#words, KNOWN + handle - 1, failures + 1);
    Atomics.store(this.#words, BEFORE + handle - 1, known);
    return known === failures + 1;
  }

  #lastCode(): keyof typeof constants.errno {
    const last = Atomics.load(this.#words, LAST_ERRNO);
    const codes = Object.keys(constants.errno) as (keyof typeof constants.errno)[];
    return codes.find((code) => constants.errno[code] === last) ?? 'EIO';
  }

  #isHandle(handle: number): boolean {
    return handle > NO_HANDLE && handle <= MAX_HANDLES;
  }
}
