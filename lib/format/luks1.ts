/**
 * The LUKS1 partition header (LUKS1 on-disk format specification 1.2.3, section 2.3) ⇄ the LUKS2 JSON that
 * says the same. Bytes in, objects out: knows no device.
 */
import { alignUp, decodeCString, encodeCString } from '../bytes.js';
import { LUKS_STRIPES } from '../crypto/af.js';
import { LuksError } from '../errors.js';
import { AREA_ALIGN_BYTES } from './areas.js';
import type { JsonObject } from './json.js';
import {
  decodeMetadata,
  encodeDigest,
  encodeKeyslot as encodeKeyslotJson,
  encodeSegment,
} from './metadata.js';
import type { AreaPlace, Keyslot, Luks1Disk, LuksHeader } from './model.js';
import { checkAreas } from './validate.js';

/** The header proper ends at byte 592; key material may begin at the second sector behind it. */
export const LUKS1_HEADER_BYTES = 1024;
export const LUKS1_KEYSLOTS = 8;
const SECTOR_BYTES = 512;
const DIGEST_BYTES = 20;
const SALT_BYTES = 32;
const ACTIVE = 0x00ac71f3;
const INACTIVE = 0x0000dead;
/** Largest volume key cryptsetup takes; bounds what is read for a keyslot. */
const MAX_KEY_BYTES = 512;

/** Offsets of the fields, in bytes. */
const AT = {
  version: 6,
  cipherName: 8,
  cipherMode: 40,
  hashSpec: 72,
  payloadOffset: 104,
  keyBytes: 108,
  digest: 112,
  digestSalt: 132,
  digestIterations: 164,
  uuid: 168,
  keyslots: 208,
} as const;
/** The big-endian u16 behind the magic, in both versions. */
export const VERSION_FIELD = { offsetBytes: AT.version, sizeBytes: 2 } as const;
const KEYSLOT_BYTES = 48;
/** The first field of a keyslot. */
export const KEYSLOT_STATE_BYTES = 4;

export const LUKS_MAGIC = Buffer.from('LUKS\xba\xbe', 'latin1');

function corrupt(what: string): LuksError {
  return new LuksError('HEADER_CORRUPT', `the LUKS1 header is corrupt: ${what}`);
}

function requireText(bytes: Buffer, offset: number, sizeBytes: number, what: string): string {
  const text = decodeCString(bytes.subarray(offset, offset + sizeBytes));
  if (text === null) throw corrupt(`its ${what} is not a NUL-terminated name`);
  return text;
}

interface RawKeyslot {
  isActive: boolean;
  iterations: number;
  salt: Buffer;
  offsetBytes: number;
}

/**
 * Key material takes whole 4 KiB blocks where all of it is aligned to them, as newer tools do; in headers of
 * the first years only whole sectors.
 */
export function areaPlaces(offsetsBytes: readonly number[], keyBytes: number): AreaPlace[] {
  const step = offsetsBytes.every((offset) => offset % AREA_ALIGN_BYTES === 0)
    ? AREA_ALIGN_BYTES
    : SECTOR_BYTES;
  const sizeBytes = alignUp(keyBytes * LUKS_STRIPES, step);
  return offsetsBytes.map((offsetBytes) => ({ offsetBytes, sizeBytes }));
}

/** Where the last key material ends, without the padding behind it that no reader needs. */
export function materialEndBytes(disk: Luks1Disk): number {
  const lastOffset = Math.max(...disk.areas.map(({ offsetBytes }) => offsetBytes));
  return lastOffset + alignUp(disk.keySizeBytes * LUKS_STRIPES, SECTOR_BYTES);
}

/** The state field of a keyslot. */
export function encodeKeyslotState(isActive: boolean): Buffer {
  const bytes = Buffer.alloc(KEYSLOT_STATE_BYTES);
  bytes.writeUInt32BE(isActive ? ACTIVE : INACTIVE);
  return bytes;
}

/** Offset of the fields of keyslot `index`. */
export function keyslotFieldsAt(index: number): number {
  return AT.keyslots + index * KEYSLOT_BYTES;
}

/**
 * A write of the state that was cut off leaves bytes of both, and a keyslot that is not in use: neither
 * finished becoming so, nor to be kept from going.
 */
function isTornState(state: number): boolean {
  const masks = [0xff000000, 0xffff0000, 0xffffff00];
  return masks.some((mask) => {
    const activated = (ACTIVE & mask) | (INACTIVE & ~mask);
    const deactivated = (INACTIVE & mask) | (ACTIVE & ~mask);
    return state === activated >>> 0 || state === deactivated >>> 0;
  });
}

function decodeRawKeyslot(bytes: Buffer, index: number): RawKeyslot {
  const at = keyslotFieldsAt(index);
  const state = bytes.readUInt32BE(at);
  if (state !== ACTIVE && state !== INACTIVE && !isTornState(state)) {
    throw corrupt(`keyslot ${index} is neither active nor inactive (state 0x${state.toString(16)})`);
  }
  const stripes = bytes.readUInt32BE(at + 44);
  if (stripes !== LUKS_STRIPES) throw corrupt(`keyslot ${index} has ${stripes} stripes, not ${LUKS_STRIPES}`);
  const isActive = state === ACTIVE;
  const iterations = bytes.readUInt32BE(at + 4);
  if (isActive && iterations === 0) throw corrupt(`active keyslot ${index} has 0 iterations`);
  return {
    isActive,
    iterations,
    salt: Buffer.from(bytes.subarray(at + 8, at + 8 + SALT_BYTES)),
    offsetBytes: bytes.readUInt32BE(at + 40) * SECTOR_BYTES,
  };
}

/** The names of the header as the one cipher spec that dm-crypt and LUKS2 write. */
function cipherSpec(name: string, mode: string): string {
  return mode === '' ? name : `${name}-${mode}`;
}

function documentOf(bytes: Buffer, disk: Luks1Disk, keyslots: RawKeyslot[], endBytes: number): JsonObject {
  const { keySizeBytes } = disk;
  const encryption = cipherSpec(disk.cipherName, disk.cipherMode);
  const hash = disk.hashSpec;
  const active = keyslots.map((raw, id) => ({ raw, id })).filter(({ raw }) => raw.isActive);
  return {
    keyslots: Object.fromEntries(
      active.map(({ raw, id }) => [
        String(id),
        encodeKeyslotJson({
          keySizeBytes,
          priority: 1,
          af: { stripes: LUKS_STRIPES, hash },
          area: { type: 'raw', ...disk.areas[id]!, encryption, keySizeBytes },
          kdf: { type: 'pbkdf2', hash, iterations: raw.iterations, salt: raw.salt },
        }),
      ]),
    ),
    tokens: {},
    segments: {
      0: encodeSegment({
        type: 'crypt',
        offsetBytes: bytes.readUInt32BE(AT.payloadOffset) * SECTOR_BYTES,
        sizeBytes: 'dynamic',
        ivTweak: 0n,
        encryption,
        sectorSizeBytes: SECTOR_BYTES,
        flags: [],
      }),
    },
    digests: {
      0: encodeDigest({
        type: 'pbkdf2',
        keyslots: active.map(({ id }) => id),
        segments: [0],
        hash,
        iterations: bytes.readUInt32BE(AT.digestIterations),
        salt: bytes.subarray(AT.digestSalt, AT.digestSalt + SALT_BYTES),
        digest: bytes.subarray(AT.digest, AT.digest + DIGEST_BYTES),
      }),
    },
    config: { json_size: '0', keyslots_size: String(endBytes - LUKS1_HEADER_BYTES) },
  };
}

function encodeKeyslot(bytes: Buffer, place: AreaPlace, keyslot: Keyslot | undefined): void {
  encodeKeyslotState(keyslot !== undefined).copy(bytes);
  bytes.writeUInt32BE(place.offsetBytes / SECTOR_BYTES, 40);
  bytes.writeUInt32BE(LUKS_STRIPES, 44);
  if (!keyslot) return;
  if (keyslot.kdf?.type !== 'pbkdf2')
    throw new LuksError('BAD_ARGUMENT', 'a LUKS1 keyslot can only use pbkdf2');
  bytes.writeUInt32BE(keyslot.kdf.iterations, 4);
  bytes.set(keyslot.kdf.salt, 8);
}

/** The header in these LUKS1_HEADER_BYTES. Throws HEADER_CORRUPT with the rule that it breaks. */
export function decodeLuks1(bytes: Buffer): LuksHeader {
  const keyBytes = bytes.readUInt32BE(AT.keyBytes);
  if (keyBytes === 0 || keyBytes > MAX_KEY_BYTES) throw corrupt(`its volume key has ${keyBytes} bytes`);
  if (bytes.readUInt32BE(AT.digestIterations) === 0) throw corrupt('its key digest has 0 iterations');
  const disk: Luks1Disk = {
    version: 1,
    areas: [],
    keySizeBytes: keyBytes,
    cipherName: requireText(bytes, AT.cipherName, 32, 'cipher name'),
    cipherMode: requireText(bytes, AT.cipherMode, 32, 'cipher mode'),
    hashSpec: requireText(bytes, AT.hashSpec, 32, 'hash'),
  };
  const uuid = requireText(bytes, AT.uuid, 40, 'UUID');
  const keyslots = Array.from({ length: LUKS1_KEYSLOTS }, (_, index) => decodeRawKeyslot(bytes, index));
  const offsetsBytes = keyslots.map(({ offsetBytes }) => offsetBytes);
  disk.areas = areaPlaces(offsetsBytes, keyBytes);
  const named = disk.areas.map((place, index) => ({ name: `keyslot ${index}`, ...place }));
  const problem = checkAreas(named, LUKS1_HEADER_BYTES, Number.POSITIVE_INFINITY);
  if (problem) throw corrupt(problem);
  const headerSizeBytes = Math.max(...disk.areas.map((place) => place.offsetBytes + place.sizeBytes));
  const document = documentOf(bytes, disk, keyslots, headerSizeBytes);
  return {
    version: 1,
    uuid,
    label: '',
    subsystem: '',
    headerSizeBytes,
    document,
    disk,
    ...decodeMetadata(document),
  };
}

/** The inverse of `decodeLuks1`. Throws BAD_ARGUMENT for metadata that only LUKS2 can say. */
export function encodeLuks1(header: LuksHeader): Buffer {
  const { disk } = header;
  const segment = header.segments[0];
  const digest = header.digests.get(0);
  if (disk.version !== 1 || !segment || !digest)
    throw new LuksError('BAD_ARGUMENT', 'this is no LUKS1 header');
  const bytes = Buffer.alloc(LUKS1_HEADER_BYTES);
  LUKS_MAGIC.copy(bytes);
  bytes.writeUInt16BE(1, AT.version);
  bytes.set(encodeCString(disk.cipherName, 32), AT.cipherName);
  bytes.set(encodeCString(disk.cipherMode, 32), AT.cipherMode);
  bytes.set(encodeCString(disk.hashSpec, 32), AT.hashSpec);
  bytes.writeUInt32BE(segment.offsetBytes / SECTOR_BYTES, AT.payloadOffset);
  bytes.writeUInt32BE(disk.keySizeBytes, AT.keyBytes);
  bytes.set(digest.digest, AT.digest);
  bytes.set(digest.salt, AT.digestSalt);
  bytes.writeUInt32BE(digest.iterations, AT.digestIterations);
  bytes.set(encodeCString(header.uuid, 40), AT.uuid);
  for (const [index, place] of disk.areas.entries()) {
    encodeKeyslot(bytes.subarray(keyslotFieldsAt(index)), place, header.keyslots.get(index));
  }
  return bytes;
}

/**
 * Mends fields that can have only one value, in place, and says which: states that are neither, stripe
 * counts, and offsets where the others show the usual layout.
 */
export function mendLuks1InPlace(bytes: Buffer): string[] {
  const mended: string[] = [];
  const step = alignUp(bytes.readUInt32BE(AT.keyBytes) * LUKS_STRIPES, AREA_ALIGN_BYTES) / SECTOR_BYTES;
  const usualSector = (index: number) => AREA_ALIGN_BYTES / SECTOR_BYTES + index * step;
  const indexes = Array.from({ length: LUKS1_KEYSLOTS }, (_, index) => index);
  const isUsual = (index: number) => bytes.readUInt32BE(keyslotFieldsAt(index) + 40) === usualSector(index);
  const hasUsualLayout = indexes.filter(isUsual).length > LUKS1_KEYSLOTS / 2;
  const mend = (at: number, value: number, what: string) => {
    bytes.writeUInt32BE(value, at);
    mended.push(what);
  };
  for (const index of indexes) {
    const at = keyslotFieldsAt(index);
    const state = bytes.readUInt32BE(at);
    if (state !== ACTIVE && state !== INACTIVE) mend(at, INACTIVE, `state of keyslot ${index}, now inactive`);
    if (bytes.readUInt32BE(at + 44) !== LUKS_STRIPES)
      mend(at + 44, LUKS_STRIPES, `stripes of keyslot ${index}`);
    if (hasUsualLayout && !isUsual(index)) mend(at + 40, usualSector(index), `offset of keyslot ${index}`);
  }
  return mended;
}
