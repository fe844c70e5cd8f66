/**
 * LUKS1 ⇄ LUKS2 in place (cryptsetup convert). The payload is not touched, and keys stay as they are: only
 * where key material lies and how it is described changes. Wherever the writes are cut, one of the two
 * headers is whole and opens with every passphrase.
 */
import type { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { lockImage } from '../image-lock.js';
import { AREA_ALIGN_BYTES, areaSizeBytes, findGap } from './areas.js';
import { changeHeader, planWipe, type WriteStep } from './change.js';
import { editHeader, withKeyslot, withoutKeyslots } from './edit.js';
import { objectMember } from './json.js';
import { decodeLuks1, encodeLuks1, LUKS1_KEYSLOTS, VERSION_FIELD } from './luks1.js';
import { BINARY_HEADER_BYTES, HDR_SIZES_BYTES } from './luks2-binary.js';
import { decodeMetadata } from './metadata.js';
import {
  type AreaPlace,
  type Digest,
  isPassphraseKeyslot,
  type Keyslot,
  type Luks1Disk,
  type LuksHeader,
  PAIRING_TOKEN_TYPE,
  type PassphraseKeyslot,
} from './model.js';
import { newLuks2Disk } from './new-header.js';
import { requireNoUnknownRequirements } from './requirements.js';
import { planCopy, planMetadata } from './write.js';

const HDR_SIZE_BYTES = HDR_SIZES_BYTES[0]!;
const LUKS1_DIGEST_BYTES = 20;

function impossible(why: string): LuksError {
  return new LuksError('BAD_ARGUMENT', `this header cannot be converted: ${why}`);
}

/** The version field alone decides how the header at offset 0 is read; in it only one byte differs. */
function planVersion(version: 1 | 2): WriteStep {
  const bytes = Buffer.alloc(VERSION_FIELD.sizeBytes);
  bytes.writeUInt16BE(version);
  return { what: 'version', offsetBytes: VERSION_FIELD.offsetBytes, bytes };
}

/** A keyslot with the key material of another place. */
function movedTo(keyslot: PassphraseKeyslot, place: AreaPlace): PassphraseKeyslot {
  return { ...keyslot, area: { ...keyslot.area, ...place } };
}

/**
 * Empties the places that the two LUKS2 copies will take: a keyslot there is copied to an inactive one, which
 * the same passphrase then opens, and only then given up.
 */
function planEvacuation(device: Device, header: LuksHeader, disk: Luks1Disk) {
  const steps: WriteStep[] = [];
  const moved = new Map<number, number>();
  let current = header;
  for (const [id, keyslot] of header.keyslots) {
    if (!isPassphraseKeyslot(keyslot) || keyslot.area.offsetBytes >= 2 * HDR_SIZE_BYTES) continue;
    const free = disk.areas.findIndex(
      (place, index) => !current.keyslots.has(index) && place.offsetBytes >= 2 * HDR_SIZE_BYTES,
    );
    if (free < 0) throw impossible('one keyslot has to move, and none is inactive; remove one first');
    const place = disk.areas[free]!;
    const bytes = Buffer.alloc(place.sizeBytes);
    device.readAt(bytes, keyslot.area.offsetBytes);
    const copied = withKeyslot(current, free, movedTo(keyslot, place), 0);
    const left = withoutKeyslots(copied, [id]);
    steps.push({ what: `copy of keyslot ${id}`, offsetBytes: place.offsetBytes, bytes });
    steps.push(...planMetadata(current, copied), ...planMetadata(copied, left));
    moved.set(free, id);
    current = left;
  }
  return { steps, moved, header: current };
}

function planToLuks2(device: Device, header: LuksHeader, disk: Luks1Disk): WriteStep[] {
  const { headerSizeBytes } = header;
  if (disk.areas.some(({ offsetBytes }) => offsetBytes % 4096)) throw impossible('its areas are not aligned');
  if (device.sizeBytes < headerSizeBytes) throw impossible('its file ends before its last area does');
  const evacuation = planEvacuation(device, header, disk);
  const luks2: LuksHeader = { ...evacuation.header, version: 2, disk: newLuks2Disk(HDR_SIZE_BYTES) };
  const converted = editHeader(luks2, (document) => {
    document.config = {
      json_size: String(HDR_SIZE_BYTES - BINARY_HEADER_BYTES),
      keyslots_size: String(headerSizeBytes - 2 * HDR_SIZE_BYTES),
    };
    // Keyslots that had to move get their numbers back: in LUKS2 a number is no place.
    const keyslots = objectMember(document, 'keyslots');
    const digest = objectMember(objectMember(document, 'digests'), '0');
    for (const [from, to] of evacuation.moved) {
      keyslots[to] = keyslots[from]!;
      delete keyslots[from];
    }
    digest.keyslots = Object.keys(keyslots);
  });
  const left = [...evacuation.moved.values()].flatMap((id) => {
    const { offsetBytes, sizeBytes } = disk.areas[id]!;
    const start = Math.max(offsetBytes, 2 * HDR_SIZE_BYTES);
    return planWipe(`old area of keyslot ${id}`, {
      offsetBytes: start,
      sizeBytes: offsetBytes + sizeBytes - start,
    });
  });
  const copy = (name: 'primary' | 'secondary') => planCopy(converted, newLuks2Disk(HDR_SIZE_BYTES), name, 1n);
  return [...evacuation.steps, copy('secondary'), planVersion(2), copy('primary'), ...left];
}

/** Why a keyslot cannot be one of LUKS1 under this digest and cipher, or null. */
function findKeyslotObstacle(keyslot: Keyslot, digest: Digest, encryption: string | null): string | null {
  if (!isPassphraseKeyslot(keyslot)) return `is of type ${keyslot.type}`;
  const { kdf, af, area } = keyslot;
  if (kdf.type !== 'pbkdf2') return `uses ${kdf.type}; change its key with pbkdf2 first`;
  if (kdf.hash !== digest.hash || af.hash !== digest.hash) return 'uses another hash than the key digest';
  if (area.encryption !== encryption || area.keySizeBytes !== keyslot.keySizeBytes) {
    return 'is encrypted otherwise than the payload';
  }
  return kdf.salt.length === 32 && af.stripes === 4000 ? null : 'has another salt size or stripe count';
}

/** Why LUKS1 cannot say what this header says, or null. */
function findObstacle(header: LuksHeader): string | null {
  const [segment, ...others] = header.segments;
  const digest = header.digests.get(0);
  if (!segment || others.length || header.digests.size !== 1 || !digest)
    return 'it has not one segment and digest';
  if (segment.type !== 'crypt' || segment.integrity !== null)
    return 'its segment is of a type that LUKS1 lacks';
  if (segment.sectorSizeBytes !== 512) {
    return `LUKS1 only has 512-byte sectors, and this payload has sectors of ${segment.sectorSizeBytes}`;
  }
  if (segment.ivTweak !== 0n || segment.sizeBytes !== 'dynamic') {
    return 'LUKS1 payloads go to the end of their device and have no IV tweak, unlike this one';
  }
  if (digest.digest.length < LUKS1_DIGEST_BYTES || digest.salt.length !== 32)
    return 'its key digest is too short';
  // The pairing is only a record of ours, and goes.
  if ([...header.tokens.values()].some(({ type }) => type !== PAIRING_TOKEN_TYPE)) {
    return 'it has tokens; remove them first';
  }
  if (header.label || header.subsystem) return 'it has a label or subsystem; clear them first';
  if (header.keyslots.size === 0) return 'it has no keyslot';
  for (const [id, keyslot] of header.keyslots) {
    const obstacle =
      id >= LUKS1_KEYSLOTS
        ? 'is beyond the 8 of LUKS1'
        : findKeyslotObstacle(keyslot, digest, segment.encryption);
    if (obstacle) return `keyslot ${id} ${obstacle}`;
  }
  return null;
}

/**
 * The places of all eight keyslots: those in use stay, the others get what is free. Nothing is written to the
 * latter now, so they may lie where the LUKS2 copies still are.
 */
function requirePlaces(header: LuksHeader, sizeBytes: number): AreaPlace[] {
  const taken: AreaPlace[] = [...header.keyslots.values()].map(({ area }) => area!);
  return Array.from({ length: LUKS1_KEYSLOTS }, (_, id) => {
    const used = header.keyslots.get(id)?.area;
    if (used) return { offsetBytes: used.offsetBytes, sizeBytes };
    const place = findGap(taken, sizeBytes, AREA_ALIGN_BYTES, header.headerSizeBytes);
    if (!place) throw impossible('there is no room for the eight keyslots of LUKS1');
    taken.push(place);
    return place;
  });
}

function planToLuks1(header: LuksHeader, hdrSizeBytes: number): WriteStep[] {
  const obstacle = findObstacle(header);
  if (obstacle) throw impossible(obstacle);
  const { keySizeBytes, af } = [...header.keyslots.values()][0]!;
  const [cipherName, ...mode] = header.segments[0]!.encryption!.split('-') as [string, ...string[]];
  const areas = requirePlaces(header, areaSizeBytes(keySizeBytes, af!.stripes));
  const disk: Luks1Disk = {
    version: 1,
    areas,
    keySizeBytes,
    cipherName,
    cipherMode: mode.join('-'),
    hashSpec: header.digests.get(0)!.hash,
  };
  const metadata = decodeMetadata(header.document);
  const digest = metadata.digests.get(0)!;
  // PBKDF2's output begins with the same bytes, however many are wanted.
  const digests = new Map([[0, { ...digest, digest: digest.digest.subarray(0, LUKS1_DIGEST_BYTES) }]]);
  const bytes = encodeLuks1({ ...header, ...metadata, version: 1, disk, digests });
  // Areas may be of other sizes than LUKS1's; what reading would refuse is not written.
  decodeLuks1(bytes);
  const behindVersion = VERSION_FIELD.offsetBytes + VERSION_FIELD.sizeBytes;
  const rest = bytes.subarray(behindVersion);
  return [
    { what: 'header behind its version', offsetBytes: behindVersion, bytes: rest },
    planVersion(1),
    ...planWipe('secondary copy', { offsetBytes: hdrSizeBytes, sizeBytes: hdrSizeBytes }, 'zero'),
  ];
}

/**
 * Makes the header one of `version`. Throws BAD_ARGUMENT where it is one already, or says something that the
 * other version cannot. Claims `device` as a writer until it is closed: BUSY while the volume is mounted.
 */
export async function convertHeader(device: Device, version: 1 | 2): Promise<void> {
  lockImage(device, 'writer');
  return changeHeader(device, (header) => {
    requireNoUnknownRequirements(header, 'convert the header');
    if (header.version === version) throw impossible(`it is LUKS${version} already`);
    const { disk } = header;
    const steps =
      disk.version === 1 ? planToLuks2(device, header, disk) : planToLuks1(header, disk.hdrSizeBytes);
    return { steps, result: undefined };
  });
}
