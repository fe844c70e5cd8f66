/**
 * Digests of the volume key: how a header recognizes its key (LUKS1 spec "mk-digest"; LUKS2 spec, section
 * 3.4). Knows nothing of passphrases.
 */
import { timingSafeEqual } from 'node:crypto';
import { wipe } from '../bytes.js';
import { DEFAULT_KDF_LIMITS, deriveKey, type KdfLimits } from '../crypto/kdf.js';
import type { Digest, Metadata } from '../format/model.js';

/** True where `key` is the one that `digest` was made from. A digest of unknown type matches nothing. */
export async function matchesDigest(
  digest: Digest,
  key: Uint8Array,
  limits: KdfLimits = DEFAULT_KDF_LIMITS,
): Promise<boolean> {
  if (digest.type !== 'pbkdf2') return false;
  const { hash, iterations, salt } = digest;
  const computed = await deriveKey(
    { type: 'pbkdf2', hash, iterations, salt },
    key,
    digest.digest.length,
    limits,
  );
  const isMatch = timingSafeEqual(computed, digest.digest);
  wipe(computed);
  return isMatch;
}

/** The digest over at least one segment that `key` matches, or null: it is not this volume's key. */
export async function verifyVolumeKey(
  header: Metadata,
  key: Uint8Array,
  limits: KdfLimits = DEFAULT_KDF_LIMITS,
): Promise<number | null> {
  for (const [id, digest] of header.digests) {
    if (digest.segments.length > 0 && (await matchesDigest(digest, key, limits))) return id;
  }
  return null;
}
