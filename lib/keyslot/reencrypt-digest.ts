/**
 * The digest that vouches for a reencryption (LUKS2 spec, "Reencryption", digest of the reencrypt keyslot): a PBKDF2 over
 * the volume keys, the reencrypt keyslot and both backup segments. Without it whoever can write the header could have a
 * volume decrypted in place by the next unlock. Knows no passphrases.
 */
import { wipe } from '../bytes.js';
import type { KdfLimits } from '../crypto/kdf.js';
import { LuksError } from '../errors.js';
import { isUint64, type JsonObject, type JsonValue, numberedMembers, objectMember } from '../format/json.js';
import { findDigestOf, type LuksHeader } from '../format/model.js';
import { GIVEBACK_REQUIREMENT, type ReencryptionSides, withVerification } from '../format/reencryption.js';
import { matchesDigest } from './digest.js';
import { makeDigest } from './new-digest.js';

const MAX_TEXT_BYTES = 64;

function text(value: JsonValue | undefined): Buffer {
  const bytes = Buffer.from(typeof value === 'string' ? value : '');
  if (bytes.length > 0 && bytes.length <= MAX_TEXT_BYTES) return bytes;
  throw new LuksError(
    'HEADER_CORRUPT',
    'the reencryption in the header cannot be verified: a member is missing',
  );
}

function count(value: JsonValue | undefined): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(Number(value));
  return bytes;
}

function uint64(value: JsonValue | undefined): Buffer {
  if (!isUint64(value)) return text(value); // "dynamic"
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

function keyslotBytes(header: LuksHeader, keyslot: number): Buffer[] {
  const object = objectMember(objectMember(header.document, 'keyslots'), String(keyslot));
  const area = objectMember(object, 'area');
  return [
    ...[text(object.mode), text(object.direction), text(area.type), uint64(area.offset), uint64(area.size)],
    ...(area.hash !== undefined ? [text(area.hash), count(area.sector_size)] : []),
    ...(area.shift_size !== undefined ? [uint64(area.shift_size)] : []),
  ];
}

function segmentBytes(segment: JsonObject): Buffer[] {
  const { type, offset, size, iv_tweak, encryption, sector_size } = segment;
  return [
    ...[text(type), uint64(offset), uint64(size)],
    ...(type === 'crypt' ? [uint64(iv_tweak), text(encryption), count(sector_size)] : []),
  ];
}

/** Keys of the digests that a reencryption is about, by digest. The bytes stay the caller's. */
export type ReencryptionKeys = ReadonlyMap<number, Uint8Array>;

/** What the digest is made of, keys and all: the caller wipes it. */
function verificationData(
  header: LuksHeader,
  reencryption: ReencryptionSides,
  keys: ReencryptionKeys,
): Buffer {
  const { keyslot, previous, final, previousDigest, finalDigest } = reencryption;
  const digests = new Set([previousDigest, finalDigest].filter((id) => id !== null));
  const segments = new Map(numberedMembers(header.document, 'segments'));
  const moved = header.segments.filter(({ flags }) => flags.includes('backup-moved-segment'));
  // The version of the requirement.
  const magic = header.config.requirements.includes(GIVEBACK_REQUIREMENT) ? 'v3' : 'v2';
  return Buffer.concat([
    Buffer.from(magic),
    ...[...digests].map((id) => keys.get(id)!),
    ...keyslotBytes(header, keyslot),
    ...[previous, final, ...moved].flatMap(({ id }) => segmentBytes(segments.get(id)!)),
  ]);
}

/** Throws HEADER_CORRUPT where the reencryption in `header` was made by somebody without these keys. */
export async function requireVerified(
  header: LuksHeader,
  reencryption: ReencryptionSides,
  keys: ReencryptionKeys,
  limits?: KdfLimits,
): Promise<void> {
  const digest = findDigestOf(header, reencryption.keyslot)?.digest;
  const data = verificationData(header, reencryption, keys);
  try {
    if (digest && (await matchesDigest(digest, data, limits))) return;
  } finally {
    wipe(data);
  }
  throw new LuksError(
    'HEADER_CORRUPT',
    'the reencryption in the header was not begun with the keys of this volume, or was tampered with; nothing was changed',
  );
}

/** `header`, whose reencryption was just begun, with the digest that vouches for it. */
export async function withVerifiedReencryption(
  header: LuksHeader,
  reencryption: ReencryptionSides,
  keys: ReencryptionKeys,
): Promise<LuksHeader> {
  const data = verificationData(header, reencryption, keys);
  try {
    // It gives away no more of the keys than the digests there are.
    const { iterations } = header.digests.get((reencryption.finalDigest ?? reencryption.previousDigest)!)!;
    return withVerification(header, reencryption.keyslot, await makeDigest(data, { iterations }));
  } finally {
    wipe(data);
  }
}
