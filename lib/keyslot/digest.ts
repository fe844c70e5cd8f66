/**
 * Digests of the volume key: how a header recognizes its key (LUKS1 spec "mk-digest"; LUKS2 spec, section
 * 3.4). Knows nothing of passphrases.
 */
import { timingSafeEqual } from 'node:crypto';
import { wipe } from '../bytes.js';
import { hashSizeBytes } from '../crypto/hash.js';
import {
  DEFAULT_KDF_LIMITS,
  type Derivation,
  deriveKey,
  type KdfLimits,
  requireTotalWithin,
} from '../crypto/kdf.js';
import { LuksError } from '../errors.js';
import type { Digest, Metadata } from '../format/model.js';

/** LUKS1's, whatever its hash, and those of LUKS2 that were converted from it. */
const LUKS1_DIGEST_BYTES = 20;

/** One that is cut short would be matched by one key of every so many. */
function requireWhole({ hash, digest }: Digest): void {
  const sizes = [hashSizeBytes(hash), LUKS1_DIGEST_BYTES];
  if (sizes.includes(digest.length)) return;
  throw new LuksError(
    'HEADER_CORRUPT',
    `a key digest has ${digest.length} bytes, and ${hash} gives ${sizes[0]}; restore the header from a backup`,
  );
}

/** What matching `digest` takes; nothing for one of unknown type. */
export function digestDerivations({ type, hash, iterations, salt, digest }: Digest): Derivation[] {
  if (type !== 'pbkdf2') return [];
  return [{ kdf: { type, hash, iterations, salt }, keySizeBytes: digest.length }];
}

/**
 * True where `key` is the one that `digest` was made from. A digest of unknown type matches nothing. Throws HEADER_CORRUPT for
 * one of another size than its hash has.
 */
export async function matchesDigest(
  digest: Digest,
  key: Uint8Array,
  limits: KdfLimits = DEFAULT_KDF_LIMITS,
): Promise<boolean> {
  const [derivation] = digestDerivations(digest);
  if (!derivation) return false;
  requireWhole(digest);
  const computed = await deriveKey(derivation.kdf, key, derivation.keySizeBytes, limits);
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
  const bound = [...header.digests].filter(([, { segments }]) => segments.length > 0);
  requireTotalWithin(
    bound.flatMap(([, digest]) => digestDerivations(digest)),
    limits,
  );
  for (const [id, digest] of bound) if (await matchesDigest(digest, key, limits)) return id;
  return null;
}
