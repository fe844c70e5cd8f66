/**
 * How far the reencryption of a volume in use is: the border between its new and its old form, in memory that the threads
 * which read and write share with the one that moves it. Whoever moves it has what it moves over locked exclusively, so a
 * range that is locked lies on the same side of each border that is read meanwhile.
 */
import { systemError } from '../errors.js';

// Words of the memory: the border, and how many bytes beyond it, in the direction of the work, nobody can use.
const BORDER = 0;
const DEAD = 1;

export class Frontier {
  readonly memory: SharedArrayBuffer;
  readonly #words: BigInt64Array;

  /** @param memory from `Frontier.createMemory` */
  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#words = new BigInt64Array(memory);
  }

  static createMemory(): SharedArrayBuffer {
    return new SharedArrayBuffer(2 * BigInt64Array.BYTES_PER_ELEMENT);
  }

  /** All is usable again, with the border here. In this order: who still reads the old border sees nothing dead there. */
  moveTo(borderBytes: number): void {
    Atomics.store(this.#words, DEAD, 0n);
    Atomics.store(this.#words, BORDER, BigInt(borderBytes));
  }

  /** So many bytes beyond the border (negative: before it) are neither old nor new: they are refused with EIO. */
  killBeyond(bytes: number): void {
    Atomics.store(this.#words, DEAD, BigInt(bytes));
  }

  /** The border, where the range [startBytes, endBytes), which the caller has locked, can be used. Throws EIO. */
  borderFor(startBytes: number, endBytes: number): number {
    const border = Number(Atomics.load(this.#words, BORDER));
    const dead = Number(Atomics.load(this.#words, DEAD));
    const [deadStart, deadEnd] = [Math.min(border, border + dead), Math.max(border, border + dead)];
    const isPartDead = Math.max(startBytes, deadStart) < Math.min(endBytes, deadEnd);
    if (isPartDead) throw systemError('EIO', 'reencryption');
    return border;
  }
}
