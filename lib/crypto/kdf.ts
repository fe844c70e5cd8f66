/**
 * Passphrase → key: PBKDF2 (RFC 8018), argon2i and argon2id (RFC 9106), and the caps that keep a hostile
 * header from costing hours or all memory. Knows nothing of keyslots.
 */
import { pbkdf2 as nodePbkdf2 } from 'node:crypto';
import { promisify } from 'node:util';
import { formatBytes } from '../bytes.js';
import { LuksError } from '../errors.js';
import { type Argon2, deriveByArgon2 } from './argon2.js';
import { availableMemoryKiB } from './free-memory.js';
import { findHash, hashSizeBytes, requireHash } from './hash.js';

export interface Pbkdf2 {
  type: 'pbkdf2';
  /** LUKS name of the hash. */
  hash: string;
  iterations: number;
  salt: Buffer;
}

export type { Argon2 } from './argon2.js';
export type Kdf = Pbkdf2 | Argon2;

/** What one derivation may cost. A header is untrusted until a key opens it. */
export interface KdfLimits {
  /** For each block of its hash that the derived key has: two for a key of 64 bytes and sha256. */
  pbkdf2Iterations: number;
  argon2MemoryKiB: number;
  /** Passes × KiB, which is what argon2's running time grows with. */
  argon2WorkKiB: number;
}

/**
 * Far above what `luksFormat --iter-time 60000` gives on today's machines (argon2 does about 2 GiB a second,
 * PBKDF2 2–10 million iterations), and still some minutes at the worst.
 * 4 GiB is also cryptsetup's own bound for argon2 memory.
 */
export const DEFAULT_KDF_LIMITS: Readonly<KdfLimits> = {
  pbkdf2Iterations: 500_000_000,
  argon2MemoryKiB: 4 * 1024 * 1024,
  argon2WorkKiB: 1024 * 1024 * 1024,
};

/** For a header whose owner says that its costs are meant. The memory still has to be there. */
export const NO_KDF_LIMITS: Readonly<KdfLimits> = {
  pbkdf2Iterations: Number.POSITIVE_INFINITY,
  argon2MemoryKiB: Number.POSITIVE_INFINITY,
  argon2WorkKiB: Number.POSITIVE_INFINITY,
};

/**
 * All that one key is tried for may cost together, in derivations of the dearest kind: quarter of an hour at the worst.
 * 32 keyslots of argon2id with 1 GiB and ten passes come to 0.3; 32 that `luksFormat --pbkdf pbkdf2` has made on a fast
 * machine, 16 million iterations each, and their digests to 1.2; eight of `--iter-time 60000` to about one.
 */
const MAX_TOTAL_COST = 2;

const pbkdf2Async = promisify(nodePbkdf2);

/** node:crypto takes the iterations as an int32. */
const NODE_MAX_ITERATIONS = 2 ** 31 - 1;

function tooDear(what: string, otherwise = ''): LuksError {
  return new LuksError(
    'UNSUPPORTED',
    `${what}, more than a header is trusted with; if it is yours and this is meant, give --force-kdf-limits${otherwise}`,
  );
}

function blockCountOf({ hash }: Pbkdf2, keySizeBytes: number): number {
  return Math.ceil(keySizeBytes / hashSizeBytes(hash));
}

function requirePbkdf2Within(kdf: Pbkdf2, limits: KdfLimits, keySizeBytes: number): void {
  const { iterations } = kdf;
  const blockCount = blockCountOf(kdf, keySizeBytes);
  if (iterations * blockCount > limits.pbkdf2Iterations) {
    const what = blockCount > 2 ? ` for a key of ${formatBytes(keySizeBytes)}` : '';
    throw tooDear(`pbkdf2 asks for ${iterations} iterations${what}`);
  }
  if (iterations > NODE_MAX_ITERATIONS) {
    throw new LuksError(
      'UNSUPPORTED',
      `pbkdf2 asks for ${iterations} iterations, more than can be computed here; use another keyslot`,
    );
  }
}

/**
 * Throws where a key of `keySizeBytes` may not or cannot be computed: UNSUPPORTED past a limit, NO_MEMORY where the
 * machine lacks what argon2 needs (asking for it anyway gets the process killed, not an error).
 */
export function requireKdfWithin(kdf: Kdf, limits: KdfLimits, keySizeBytes: number): void {
  if (kdf.type === 'pbkdf2') {
    requirePbkdf2Within(kdf, limits, keySizeBytes);
    return;
  }
  if (kdf.memoryKiB > limits.argon2MemoryKiB) {
    throw tooDear(`${kdf.type} asks for ${formatBytes(kdf.memoryKiB * 1024)} of memory`);
  }
  if (kdf.time * kdf.memoryKiB > limits.argon2WorkKiB) {
    throw tooDear(`${kdf.type} asks for ${kdf.time} passes over ${formatBytes(kdf.memoryKiB * 1024)}`);
  }
  const availableKiB = availableMemoryKiB();
  if (kdf.memoryKiB > availableKiB) {
    throw new LuksError(
      'NO_MEMORY',
      `${kdf.type} needs ${formatBytes(kdf.memoryKiB * 1024)} of memory and ` +
        `${formatBytes(availableKiB * 1024)} are free; free some, or use another keyslot`,
    );
  }
}

/** A key that is to be derived. */
export interface Derivation {
  kdf: Kdf;
  keySizeBytes: number;
}

/** The share of the limits that a derivation takes; none where it is refused or cannot be computed. */
function costOf({ kdf, keySizeBytes }: Derivation, limits: KdfLimits): number {
  if (kdf.type !== 'pbkdf2') {
    const cost = (kdf.time * kdf.memoryKiB) / limits.argon2WorkKiB;
    return cost > 1 ? 0 : cost;
  }
  if (!findHash(kdf.hash)) return 0;
  const cost = (kdf.iterations * blockCountOf(kdf, keySizeBytes)) / limits.pbkdf2Iterations;
  return cost > 1 ? 0 : cost;
}

/** Throws UNSUPPORTED where these, one after the other, would cost more than one key may be tried for. */
export function requireTotalWithin(derivations: readonly Derivation[], limits: KdfLimits): void {
  const total = derivations.reduce((sum, each) => sum + costOf(each, limits), 0);
  if (total <= MAX_TOTAL_COST) return;
  throw tooDear(
    `the keyslots and digests to try ask together for ${total.toFixed(1)} times what the dearest one may`,
    ', or for one keyslot --key-slot',
  );
}

/**
 * The key that `passphrase` gives, any bytes including NUL.
 * @returns a new Buffer of `keySizeBytes`, the caller's to wipe.
 */
export async function deriveKey(
  kdf: Kdf,
  passphrase: Uint8Array,
  keySizeBytes: number,
  limits: KdfLimits = DEFAULT_KDF_LIMITS,
): Promise<Buffer> {
  requireKdfWithin(kdf, limits, keySizeBytes);
  if (kdf.type === 'pbkdf2') {
    return pbkdf2Async(passphrase, kdf.salt, kdf.iterations, keySizeBytes, requireHash(kdf.hash));
  }
  return deriveByArgon2(kdf, passphrase, keySizeBytes);
}
