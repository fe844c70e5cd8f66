/**
 * Parameters for a new key derivation: as asked for, or as many as take the wanted time on this machine, the
 * way cryptsetup chooses them. Knows nothing of headers.
 */
import { randomBytes } from 'node:crypto';
import os from 'node:os';
import { wipe } from '../bytes.js';
import { LuksError } from '../errors.js';
import { availableMemoryKiB } from './free-memory.js';
import { type Argon2, deriveKey, type Kdf, NO_KDF_LIMITS, type Pbkdf2 } from './kdf.js';

export interface KdfChoice {
  type: Kdf['type'];
  /** Of PBKDF2, by its LUKS name. */
  hash: string;
  /** What one unlock may take; 2000 without. */
  iterTimeMs?: number;
  /** Argon2's memory, or the most it may be while the time decides. */
  memoryKiB?: number;
  /** Argon2's lanes; the processors, at most 4, without. */
  parallel?: number;
  /** PBKDF2's iterations or argon2's passes, without any measuring. */
  forceIterations?: number;
}

export const DEFAULT_ITER_TIME_MS = 2000;
const KDF_SALT_BYTES = 32;

/** Least costs that cryptsetup writes (PBKDF2: RFC 8018's and NIST SP 800-132's floor; argon2: RFC 9106). */
const MIN_PBKDF2_ITERATIONS = 1000;
const MAX_PBKDF2_ITERATIONS = 2 ** 31 - 1;
const MIN_ARGON2_TIME = 4;
const MIN_ARGON2_MEMORY_KIB = 32;
const MAX_ARGON2_MEMORY_KIB = 4 * 1024 * 1024;
const MAX_ARGON2_LANES = 4;
/** Without a wish, unlocking must work on smaller machines than the one that formats. */
const DEFAULT_MAX_MEMORY_KIB = 1024 * 1024;

/** A measurement shorter than this says little. */
const MEASURE_MS = 150;

async function measureMs(kdf: Kdf, keySizeBytes: number): Promise<number> {
  const start = performance.now();
  wipe(await deriveKey(kdf, Buffer.from('benchmark'), keySizeBytes, NO_KDF_LIMITS));
  return performance.now() - start;
}

/** PBKDF2 iterations a millisecond, for keys of this size. */
async function pbkdf2Rate(hash: string, keySizeBytes: number): Promise<number> {
  const salt = randomBytes(KDF_SALT_BYTES);
  for (let iterations = 10_000; ; iterations *= 4) {
    const elapsedMs = await measureMs({ type: 'pbkdf2', hash, iterations, salt }, keySizeBytes);
    if (elapsedMs >= MEASURE_MS) return iterations / elapsedMs;
  }
}

/** Iterations of PBKDF2 that take `iterTimeMs` for a key of this size, within what headers may say. */
export async function benchmarkPbkdf2(
  hash: string,
  keySizeBytes: number,
  iterTimeMs: number,
): Promise<number> {
  const wanted = Math.floor((await pbkdf2Rate(hash, keySizeBytes)) * iterTimeMs);
  return Math.min(Math.max(wanted, MIN_PBKDF2_ITERATIONS), MAX_PBKDF2_ITERATIONS);
}

/** Memory first, up to `maxMemoryKiB`; then passes. */
async function benchmarkArgon2(base: Argon2, keySizeBytes: number, iterTimeMs: number, maxMemoryKiB: number) {
  let { time, memoryKiB } = base;
  for (;;) {
    const elapsedMs = await measureMs({ ...base, time, memoryKiB }, keySizeBytes);
    const work = (time * memoryKiB * iterTimeMs) / elapsedMs;
    const wantedKiB = Math.floor(work / MIN_ARGON2_TIME);
    const isMeasured = elapsedMs >= Math.min(MEASURE_MS, iterTimeMs) || memoryKiB === maxMemoryKiB;
    memoryKiB = Math.max(MIN_ARGON2_MEMORY_KIB, Math.min(wantedKiB, maxMemoryKiB));
    time = Math.max(MIN_ARGON2_TIME, Math.floor(work / memoryKiB));
    if (isMeasured) return { ...base, time, memoryKiB };
    time = MIN_ARGON2_TIME;
  }
}

function requireRange(what: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new LuksError('BAD_ARGUMENT', `${what} ${value} is not possible; it must be from ${min} to ${max}`);
}

async function choosePbkdf2(choice: KdfChoice, keySizeBytes: number): Promise<Pbkdf2> {
  const { hash, forceIterations, iterTimeMs = DEFAULT_ITER_TIME_MS } = choice;
  const iterations =
    forceIterations === undefined
      ? await benchmarkPbkdf2(hash, keySizeBytes, iterTimeMs)
      : requireRange('an iteration count of', forceIterations, MIN_PBKDF2_ITERATIONS, MAX_PBKDF2_ITERATIONS);
  return { type: 'pbkdf2', hash, iterations, salt: randomBytes(KDF_SALT_BYTES) };
}

async function chooseArgon2(type: Argon2['type'], choice: KdfChoice, keySizeBytes: number): Promise<Argon2> {
  const { forceIterations, iterTimeMs = DEFAULT_ITER_TIME_MS } = choice;
  const cpus = requireRange(
    'a number of argon2 threads of',
    choice.parallel ?? Math.min(os.availableParallelism(), MAX_ARGON2_LANES),
    1,
    MAX_ARGON2_LANES,
  );
  const salt = randomBytes(KDF_SALT_BYTES);
  const halfOfMemoryKiB = Math.floor(availableMemoryKiB() / 2);
  const maxMemoryKiB = requireRange(
    'an argon2 memory of',
    choice.memoryKiB ?? Math.min(DEFAULT_MAX_MEMORY_KIB, halfOfMemoryKiB),
    MIN_ARGON2_MEMORY_KIB,
    MAX_ARGON2_MEMORY_KIB,
  );
  if (forceIterations !== undefined) {
    const time = requireRange('an argon2 time cost of', forceIterations, MIN_ARGON2_TIME, 2 ** 31 - 1);
    return { type, time, memoryKiB: maxMemoryKiB, cpus, salt };
  }
  const start = Math.min(64 * 1024, maxMemoryKiB);
  const base: Argon2 = { type, time: MIN_ARGON2_TIME, memoryKiB: start, cpus, salt };
  return benchmarkArgon2(base, keySizeBytes, iterTimeMs, maxMemoryKiB);
}

/** A KDF with a fresh salt. Throws BAD_ARGUMENT for costs that no header should have. */
export async function chooseKdf(choice: KdfChoice, keySizeBytes: number): Promise<Kdf> {
  return choice.type === 'pbkdf2'
    ? choosePbkdf2(choice, keySizeBytes)
    : chooseArgon2(choice.type, choice, keySizeBytes);
}
