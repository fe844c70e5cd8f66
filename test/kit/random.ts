/**
 * Random choices that can be had again: TEST_SEED=<number> repeats a run.
 */
import { createHash, randomInt } from 'node:crypto';

/** xorshift32 (Marsaglia 2003): good enough to pick offsets, and the same on every machine. */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed >>> 0 || 1;
  }

  #next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }

  /** An integer in [0, limit). */
  below(limit: number): number {
    return Math.floor((this.#next() / 2 ** 32) * limit);
  }

  /** An integer in [low, high]. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  /** `sizeBytes` bytes that do not repeat within a sector. */
  bytes(sizeBytes: number): Buffer {
    const buffer = Buffer.allocUnsafe(sizeBytes);
    const words = sizeBytes - (sizeBytes % 4);
    for (let at = 0; at < words; at += 4) buffer.writeUInt32LE(this.#next(), at);
    for (let at = words; at < sizeBytes; at += 1) buffer[at] = this.#next() & 0xff;
    return buffer;
  }
}

/** A generator seeded from TEST_SEED, else at random; `say` gets the line that tells how to repeat it. */
export function seededRandom(say: (line: string) => void): Random {
  const seed = process.env.TEST_SEED ? Number(process.env.TEST_SEED) : randomInt(1, 2 ** 31);
  say(`TEST_SEED=${seed} repeats this run`);
  return new Random(seed);
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
