/**
 * A payload that fails: the system calls on its descriptor, as this thread makes them through node:fs, go wrong as the
 * test says in shared memory. What stands above them, from `Device` on, is the real thing.
 */
import fs from 'node:fs';
import { constants } from 'node:os';
import { sleepSync } from '../../lib/sleep.js';
import type { VolumeHandle } from '../../lib/volume/volume.js';
import { Volume } from '../../lib/volume/volume.js';
import { transferThroughNode } from './node-io.js';

export const storeModule = import.meta.url;

export type Operation = 'read' | 'write' | 'sync';
const OPERATIONS: readonly Operation[] = ['read', 'write', 'sync'];

type Errno = keyof typeof constants.errno;

/** What happens instead of the call. */
export type Effect =
  | Errno
  /** It does half of what it was asked for, and says so. */
  | 'short'
  /** A write does half of it, an odd number of bytes, and the next one is EIO. */
  | 'torn'
  /** It does nothing and says so: the end of a file that became shorter. */
  | 'nothing'
  | 'slow';

// Words of the shared memory.
const OPERATION = 0;
const EFFECT = 1;
/** Calls that still go well. */
const SPARED = 2;
/** Calls that go wrong after them. */
const DOOMED = 3;
/** 1 for one call in … that goes wrong. */
const ODDS = 4;
const COUNTS = 8;
const MEMORY_BYTES = 64;

const SHORT = -1;
const TORN = -2;
const NOTHING = -3;
const SLOW = -4;
const SLOW_MS = 3;
const WORDS: Partial<Record<Effect, number>> = { short: SHORT, torn: TORN, nothing: NOTHING, slow: SLOW };

/** What a test holds to make a payload fail. */
export class PayloadFaults {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(memory = new SharedArrayBuffer(MEMORY_BYTES)) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
  }

  /** From the `nth` such call on, counted from 0, `times` of them go wrong. */
  arm(operation: Operation, effect: Effect, nth = 0, times = 1): void {
    this.clear();
    this.#words[SPARED] = nth;
    this.#words[DOOMED] = times;
    this.#begin(operation, effect);
  }

  /** One such call in `odds` goes wrong, until `clear`. */
  armAtRandom(operation: Operation, effect: Errno, odds: number): void {
    this.clear();
    this.#words[ODDS] = odds;
    this.#begin(operation, effect);
  }

  clear(): void {
    this.#words.fill(0);
  }

  /** Calls since `arm` or `clear`. */
  count(operation: Operation): number {
    return this.#words[COUNTS + OPERATIONS.indexOf(operation)]!;
  }

  /** Whether the fault has come about. */
  get isSpent(): boolean {
    return this.#words[DOOMED]! <= 0;
  }

  #begin(operation: Operation, effect: Effect): void {
    this.#words[EFFECT] = WORDS[effect] ?? constants.errno[effect as Errno];
    Atomics.store(this.#words, OPERATION, OPERATIONS.indexOf(operation) + 1);
  }

  /** Counts a call in; the effect that it has to suffer, or 0. */
  suffer(operation: Operation): number {
    const words = this.#words;
    const index = OPERATIONS.indexOf(operation);
    Atomics.add(words, COUNTS + index, 1);
    if (Atomics.load(words, OPERATION) !== index + 1) return 0;
    if (words[ODDS]) return Math.random() * words[ODDS] < 1 ? words[EFFECT]! : 0;
    if (Atomics.sub(words, SPARED, 1) > 0) return 0;
    return Atomics.sub(words, DOOMED, 1) > 0 ? words[EFFECT]! : 0;
  }

  /** The next write fails too. */
  tear(): void {
    this.#words[EFFECT] = constants.errno.EIO;
    this.#words[DOOMED] = 1;
  }
}

function fail(errno: number, syscall: string): never {
  const code = Object.keys(constants.errno).find((name) => constants.errno[name as Errno] === errno)!;
  throw Object.assign(new Error(`${syscall}: ${code}`), { errno: -errno, code, syscall });
}

/** The length that a call of `length` gets to work on; throws where it is to fail. */
function reduce(faults: PayloadFaults, operation: Operation, length: number): number {
  const effect = faults.suffer(operation);
  if (effect > 0) fail(effect, operation);
  if (effect === SLOW) sleepSync(SLOW_MS);
  if (effect === TORN) faults.tear();
  if (effect === NOTHING) return 0;
  // An odd number: it ends within a sector, and within a block of a cipher.
  return effect === SHORT || effect === TORN ? (length >> 1) | 1 : length;
}

/** Makes this thread's calls on `fd` fail as `faults` says, for good or until the function returned is called. */
export function injectFaults(fd: number, faults: PayloadFaults): () => void {
  const { readSync, writeSync, fdatasyncSync } = fs;
  const endDetour = transferThroughNode();
  type Call = (fd: number, buffer: Uint8Array, offset: number, length: number, position: number) => number;
  const wrap =
    (operation: Operation, call: Call): Call =>
    (which, buffer, offset, length, position) => {
      if (which !== fd) return call(which, buffer, offset, length, position);
      const reduced = reduce(faults, operation, length);
      return reduced === 0 ? 0 : call(which, buffer, offset, reduced, position);
    };
  Object.assign(fs, {
    readSync: wrap('read', readSync as Call),
    writeSync: wrap('write', writeSync as Call),
    fdatasyncSync: (which: number) => {
      if (which === fd) reduce(faults, 'sync', 0);
      fdatasyncSync(which);
    },
  });
  return () => {
    Object.assign(fs, { readSync, writeSync, fdatasyncSync });
    endDetour();
  };
}

export interface FaultyHandle {
  volume: VolumeHandle;
  faults: SharedArrayBuffer;
}

/** The store of a mount's worker (StoreModule): the volume on a payload that fails. */
export function openStore(handle: FaultyHandle): Volume {
  injectFaults(handle.volume.device.fd, new PayloadFaults(handle.faults));
  return Volume.fromHandle(handle.volume);
}

export const allocateIoBuffer = Volume.allocateIoBuffer;
