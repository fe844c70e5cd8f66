/**
 * Key material of one keyslot: encrypted anti-forensic stripes in an area of the header (LUKS1 spec, section
 * 2.4; LUKS2 spec, section 3.2 "area"). Knows keys and bytes, no passphrases.
 */
import { wipe } from '../bytes.js';
import { afMerge, afSplit, LUKS_STRIPES } from '../crypto/af.js';
import { checkKeySize, parseCipherSpec } from '../crypto/cipher-spec.js';
import { createSectorCipher } from '../crypto/sector-cipher.js';
import type { ReadableDevice } from '../device.js';
import { LuksError } from '../errors.js';
import { isNullCipher, type PassphraseKeyslot } from '../format/model.js';

/** Areas are encrypted in sectors of this size, with IVs from 0. */
const AREA_SECTOR_BYTES = 512;
/** Far above the longest key of any cipher. */
const MAX_KEY_BYTES = 512;

function turnInPlace(
  direction: 'encryptInPlace' | 'decryptInPlace',
  encryption: string,
  areaKey: Uint8Array,
  data: Uint8Array,
): void {
  if (isNullCipher(encryption)) return;
  const cipher = createSectorCipher(encryption, areaKey, AREA_SECTOR_BYTES);
  try {
    cipher[direction](data, 0n);
  } finally {
    cipher.destroy();
  }
}

/**
 * Throws UNSUPPORTED for a keyslot that cannot be of use, before anything is computed for it: merging a hundred million
 * stripes, or deriving a key of gigabytes, would take hours.
 */
export function requireUsableArea({ area, af, keySizeBytes }: PassphraseKeyslot): void {
  if (keySizeBytes > MAX_KEY_BYTES || area.keySizeBytes > MAX_KEY_BYTES) {
    const longest = Math.max(keySizeBytes, area.keySizeBytes);
    throw new LuksError('UNSUPPORTED', `it has a key of ${longest} bytes, and no cipher has one`);
  }
  if (af.stripes > LUKS_STRIPES) {
    throw new LuksError(
      'UNSUPPORTED',
      `it has ${af.stripes} stripes; ${LUKS_STRIPES} are all that is in use`,
    );
  }
  if (!isNullCipher(area.encryption)) checkKeySize(parseCipherSpec(area.encryption), area.keySizeBytes);
}

/** Bytes of an area that hold stripes, in whole sectors. */
function materialBytes(keyslot: PassphraseKeyslot): number {
  const bytes = keyslot.keySizeBytes * keyslot.af.stripes;
  return Math.ceil(bytes / AREA_SECTOR_BYTES) * AREA_SECTOR_BYTES;
}

/**
 * The candidate volume key in the keyslot's area; only a digest tells whether `areaKey` was right.
 * @returns a new Buffer, the caller's to wipe.
 */
export function readKeyMaterial(
  device: ReadableDevice,
  keyslot: PassphraseKeyslot,
  areaKey: Uint8Array,
): Buffer {
  const material = Buffer.alloc(Math.min(materialBytes(keyslot), keyslot.area.sizeBytes));
  try {
    device.readFullyAt(material, keyslot.area.offsetBytes);
    turnInPlace('decryptInPlace', keyslot.area.encryption, areaKey, material);
    return afMerge(material, keyslot.keySizeBytes, keyslot.af.stripes, keyslot.af.hash);
  } finally {
    wipe(material);
  }
}

/** What goes into the keyslot's area so that `areaKey` gives `volumeKey` back. */
export function encodeKeyMaterial(
  keyslot: PassphraseKeyslot,
  volumeKey: Uint8Array,
  areaKey: Uint8Array,
): Buffer {
  const stripes = afSplit(volumeKey, keyslot.af.stripes, keyslot.af.hash);
  const material = Buffer.alloc(materialBytes(keyslot));
  stripes.copy(material);
  wipe(stripes);
  turnInPlace('encryptInPlace', keyslot.area.encryption, areaKey, material);
  return material;
}
