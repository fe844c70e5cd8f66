/**
 * Makes digests: PBKDF2 of a key, by which a header recognizes it (LUKS1 spec "mk-digest"; LUKS2 spec, section 3.4).
 */
import { randomBytes } from 'node:crypto';
import { checkNewHash, hashSizeBytes } from '../crypto/hash.js';
import { deriveKey, NO_KDF_LIMITS } from '../crypto/kdf.js';
import { benchmarkPbkdf2 } from '../crypto/kdf-choice.js';
import type { Digest } from '../format/model.js';

export const DEFAULT_HASH = 'sha256';
/** The digest is no defence of the passphrase, only of the key, which needs none: an eighth of a second. */
const DIGEST_ITER_TIME_MS = 125;
export const MIN_DIGEST_ITERATIONS = 1000;
const DIGEST_SALT_BYTES = 32;

export interface NewDigestOptions {
  hash?: string;
  /** As long as the hash without. */
  sizeBytes?: number;
  /** As many as this machine does in the usual time without. */
  iterations?: number;
}

export async function makeDigest(
  key: Uint8Array,
  options: NewDigestOptions = {},
): Promise<Omit<Digest, 'keyslots' | 'segments' | 'type'>> {
  const { hash = DEFAULT_HASH } = options;
  checkNewHash(hash);
  const sizeBytes = options.sizeBytes ?? hashSizeBytes(hash);
  const iterations = options.iterations ?? (await benchmarkPbkdf2(hash, sizeBytes, DIGEST_ITER_TIME_MS));
  const salt = randomBytes(DIGEST_SALT_BYTES);
  const kdf = { type: 'pbkdf2', hash, iterations, salt } as const;
  return { hash, iterations, salt, digest: await deriveKey(kdf, key, sizeBytes, NO_KDF_LIMITS) };
}
