/**
 * Reader/writer locks on byte ranges, between all threads of the process, in shared memory.
 *
 * Why: a write that covers part of a sector reads, merges and rewrites the whole of it, and no sector may be
 * read while its ciphertext is half replaced. Fair and free of deadlock: each request takes a ticket and waits
 * only for overlapping requests with earlier tickets, and a thread holds one range at a time.
 * Knows nothing of sectors; the caller rounds.
 */
import { LuksError } from '../errors.js';

/** Threads that may use one lock at the same time. */
const SLOT_COUNT = 128;

// The Int32 words in front: a futex mutex (0 free, 1 held, 2 held and awaited), a count of releases to wait on,
// how many wait, how many slots were ever used; then one state per slot.
const MUTEX = 0;
const RELEASES = 1;
const WAITERS = 2;
const SLOTS_USED = 3;
const STATES = 4;
// The Float64 words behind: the next ticket, then ticket, start and end per slot.
const NUMBERS_OFFSET_BYTES = (STATES + SLOT_COUNT) * 4;

/** Some microseconds: as long as going to sleep and waking would take. */
const SPIN_ATTEMPTS = 100;

const UNUSED = 0;
const IDLE = 1;
const SHARED = 2;
const EXCLUSIVE = 3;

export class RangeLock {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #numbers: Float64Array;
  readonly #slot: number;

  /** Joins the lock in `memory` (from `RangeLock.createMemory`), taking one of its slots until `close`. */
  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#words = new Int32Array(memory, 0, STATES + SLOT_COUNT);
    this.#numbers = new Float64Array(memory, NUMBERS_OFFSET_BYTES);
    this.#slot = this.#takeSlot();
  }

  static createMemory(): SharedArrayBuffer {
    return new SharedArrayBuffer(NUMBERS_OFFSET_BYTES + (1 + 3 * SLOT_COUNT) * 8);
  }

  /** Waits until nobody writes within [startBytes, endBytes), and keeps writers out until `release`. */
  acquireShared(startBytes: number, endBytes: number): void {
    this.#acquire(startBytes, endBytes, SHARED);
  }

  /** Waits until nobody reads or writes within [startBytes, endBytes), and keeps all out until `release`. */
  acquireExclusive(startBytes: number, endBytes: number): void {
    this.#acquire(startBytes, endBytes, EXCLUSIVE);
  }

  /**
   * Takes no mutex: who waits counts itself in before it looks at the states, and here the state goes before the look at
   * that count. So either the waiter sees the range free, or it is seen here and finds `RELEASES` changed.
   */
  release(): void {
    Atomics.store(this.#words, STATES + this.#slot, IDLE);
    if (Atomics.load(this.#words, WAITERS) === 0) return;
    Atomics.add(this.#words, RELEASES, 1);
    Atomics.notify(this.#words, RELEASES);
  }

  /** Gives the slot back. */
  close(): void {
    this.#lock();
    this.#words[STATES + this.#slot] = UNUSED;
    this.#unlock();
  }

  #takeSlot(): number {
    this.#lock();
    try {
      const slot = this.#words.indexOf(UNUSED, STATES) - STATES;
      if (slot < 0) throw new LuksError('BUSY', `more than ${SLOT_COUNT} threads share one volume`);
      this.#words[STATES + slot] = IDLE;
      this.#words[SLOTS_USED] = Math.max(this.#words[SLOTS_USED]!, slot + 1);
      return slot;
    } finally {
      this.#unlock();
    }
  }

  #acquire(startBytes: number, endBytes: number, state: number): void {
    this.#lock();
    const at = 1 + 3 * this.#slot;
    const ticket = this.#numbers[0]!;
    this.#numbers[0] = ticket + 1;
    this.#numbers[at] = ticket;
    this.#numbers[at + 1] = startBytes;
    this.#numbers[at + 2] = endBytes;
    Atomics.store(this.#words, STATES + this.#slot, state);
    if (this.#mustWait(ticket, startBytes, endBytes, state)) {
      Atomics.add(this.#words, WAITERS, 1);
      let releases = Atomics.load(this.#words, RELEASES);
      while (this.#mustWait(ticket, startBytes, endBytes, state)) {
        this.#unlock();
        Atomics.wait(this.#words, RELEASES, releases);
        this.#lock();
        releases = Atomics.load(this.#words, RELEASES);
      }
      Atomics.sub(this.#words, WAITERS, 1);
    }
    this.#unlock();
  }

  /**
   * True while an earlier request overlaps, and one of the two writes. Asked under the mutex and, by who has counted itself
   * among the waiters, after an atomic load: so the states may be read as they are, and a release can only be seen late.
   */
  #mustWait(ticket: number, startBytes: number, endBytes: number, state: number): boolean {
    const used = this.#words[SLOTS_USED]!;
    for (let slot = 0; slot < used; slot++) {
      const other = this.#words[STATES + slot]!;
      if (other < SHARED || (other === SHARED && state === SHARED)) continue;
      const at = 1 + 3 * slot;
      if (
        this.#numbers[at]! < ticket &&
        this.#numbers[at + 1]! < endBytes &&
        startBytes < this.#numbers[at + 2]!
      ) {
        return true;
      }
    }
    return false;
  }

  // Drepper, "Futexes Are Tricky", mutex 2. The sections it guards are a few dozen loads long, so trying again is
  // nearly always cheaper than to sleep.
  #lock(): void {
    for (let attempt = 0; attempt < SPIN_ATTEMPTS; attempt++) {
      if (Atomics.compareExchange(this.#words, MUTEX, 0, 1) === 0) return;
    }
    while (Atomics.exchange(this.#words, MUTEX, 2) !== 0) Atomics.wait(this.#words, MUTEX, 2);
  }

  #unlock(): void {
    if (Atomics.exchange(this.#words, MUTEX, 0) === 2) Atomics.notify(this.#words, MUTEX, 1);
  }
}
