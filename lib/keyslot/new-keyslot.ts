/**
 * Makes a keyslot: parameters, place and encrypted material for a volume key behind a passphrase. Writes
 * nothing; the result is a plan's part.
 */
import { wipe } from '../bytes.js';
import { LUKS_STRIPES } from '../crypto/af.js';
import { deriveKey, NO_KDF_LIMITS } from '../crypto/kdf.js';
import { chooseKdf, type KdfChoice } from '../crypto/kdf-choice.js';
import { LuksError } from '../errors.js';
import { areaSizeBytes, requireArea } from '../format/areas.js';
import type { WriteStep } from '../format/change.js';
import { isNullCipher, type LuksHeader, type PassphraseKeyslot, type Priority } from '../format/model.js';
import { encodeKeyMaterial } from './area.js';

export interface NewKeyslotOptions {
  /** The lowest free one without. */
  keyslot?: number;
  priority?: Priority;
  /** Argon2id for LUKS2, PBKDF2 for LUKS1 (which has no other), measured on this machine, without. */
  pbkdf?: Partial<KdfChoice>;
  /** Cipher of the keyslot's area; the segment's without. LUKS1 has no other. */
  encryption?: string;
  encryptionKeySizeBytes?: number;
}

export interface NewKeyslot {
  keyslot: PassphraseKeyslot;
  material: WriteStep;
}

const DEFAULT_HASH = 'sha256';
/** Where the segment has no cipher to copy. */
const FALLBACK_CIPHER = { encryption: 'aes-xts-plain64', keySizeBytes: 64 };

/** Cipher and key size of the new area. */
function areaCipher(header: LuksHeader, volumeKeyBytes: number, options: NewKeyslotOptions) {
  const inherited = header.segments.find(({ encryption }) => encryption !== null)?.encryption ?? '';
  const base =
    inherited === '' || isNullCipher(inherited)
      ? FALLBACK_CIPHER
      : { encryption: inherited, keySizeBytes: volumeKeyBytes };
  const wanted = {
    encryption: options.encryption ?? base.encryption,
    keySizeBytes: options.encryptionKeySizeBytes ?? base.keySizeBytes,
  };
  if (header.version === 1 && (wanted.encryption !== inherited || wanted.keySizeBytes !== volumeKeyBytes)) {
    throw new LuksError('BAD_ARGUMENT', 'keyslots of LUKS1 are encrypted as the payload is; use LUKS2');
  }
  return wanted;
}

function kdfChoice(header: LuksHeader, pbkdf: Partial<KdfChoice> = {}): KdfChoice {
  const { disk } = header;
  if (disk.version === 2) return { type: 'argon2id', hash: DEFAULT_HASH, ...pbkdf };
  const isOther = (pbkdf.type ?? 'pbkdf2') !== 'pbkdf2' || (pbkdf.hash ?? disk.hashSpec) !== disk.hashSpec;
  if (isOther) {
    throw new LuksError(
      'BAD_ARGUMENT',
      `keyslots of this LUKS1 header only use pbkdf2 with ${disk.hashSpec}`,
    );
  }
  return { ...pbkdf, type: 'pbkdf2', hash: disk.hashSpec };
}

/** `made` as keyslot `id` of `header`, which may have got other keyslots since. Throws BAD_ARGUMENT where it has no room. */
export function placeKeyslot(header: LuksHeader, id: number, { keyslot, material }: NewKeyslot): NewKeyslot {
  const place = requireArea(header, id, areaSizeBytes(keyslot.keySizeBytes, LUKS_STRIPES));
  return {
    keyslot: { ...keyslot, area: { ...keyslot.area, ...place } },
    material: { ...material, what: `material of keyslot ${id}`, offsetBytes: place.offsetBytes },
  };
}

/**
 * Keyslot `id` of `header` for `volumeKey` behind `passphrase`, in a place that is free.
 * The KDF is measured and computed here, so this takes seconds.
 */
export async function makeKeyslot(
  header: LuksHeader,
  id: number,
  volumeKey: Uint8Array,
  passphrase: Uint8Array,
  options: NewKeyslotOptions,
): Promise<NewKeyslot> {
  const cipher = areaCipher(header, volumeKey.length, options);
  const choice = kdfChoice(header, options.pbkdf);
  const place = requireArea(header, id, areaSizeBytes(volumeKey.length, LUKS_STRIPES));
  const keyslot: PassphraseKeyslot = {
    type: 'luks2',
    keySizeBytes: volumeKey.length,
    priority: options.priority ?? 1,
    area: { type: 'raw', ...place, ...cipher },
    af: { stripes: LUKS_STRIPES, hash: choice.hash },
    kdf: await chooseKdf(choice, cipher.keySizeBytes),
  };
  const areaKey = await deriveKey(keyslot.kdf, passphrase, cipher.keySizeBytes, NO_KDF_LIMITS);
  try {
    const bytes = encodeKeyMaterial(keyslot, volumeKey, areaKey);
    return {
      keyslot,
      material: { what: `material of keyslot ${id}`, offsetBytes: place.offsetBytes, bytes },
    };
  } finally {
    wipe(areaKey);
  }
}
