/**
 * An encryption that also moves the data, to make room for a header before it, as a LUKS2 header records it (LUKS2 spec,
 * "Reencryption", resilience `datashift`): the head of the data lies at the end of the device, out of the header's way, and
 * the rest goes backward, from its old place to one that is further by the shift. Reads and edits metadata; moves no data.
 */
import { LuksError } from '../errors.js';
import { editHeader } from './edit.js';
import { isUint64, type JsonObject, member, objectMember } from './json.js';
import {
  type AreaPlace,
  findDigestOfSegment,
  type LuksHeader,
  type Segment,
  volumeSegments,
} from './model.js';
import {
  encodeAnySegment,
  HOT_FLAG,
  IV_UNIT_BYTES,
  REQUIREMENT,
  type ReencryptionSides,
  requireBackup,
  spellSegments,
} from './reencryption.js';

/** Data that is moved as well, of which one side is ciphertext. */
export interface ShiftedSides extends ReencryptionSides {
  /** The head of the data meanwhile. */
  moved: Segment;
}

/** Before: the plain data, its head included. After: the ciphertext, all of the device behind the header. */
export interface ShiftedEncryption extends ShiftedSides {
  area: AreaPlace;
  /** How much further the data gets: as far as the header's end. */
  shiftBytes: number;
  previousDigest: null;
  finalDigest: number;
}

/** A stretch of the device, for the row of segments; `encryption` as the final segment's where it is new. */
export interface ShiftedPart {
  state: 'new' | 'hot' | 'old';
  offsetBytes: number;
  sizeBytes: number | 'dynamic';
  /** Where it lies in the data, which counts for its IVs. */
  dataOffsetBytes: number;
}

const AREA_TYPE = 'datashift';
const ALIGN_BYTES = 4096;

function unsupported(what: string): LuksError {
  return new LuksError(
    'UNSUPPORTED',
    `this encryption ${what}, which is not known here; finish it with: cryptsetup reencrypt --resume-only`,
  );
}

/** The layout that makes one step never overwrite what it, or a later one, still reads. */
function isSound({
  shiftBytes,
  previous,
  final,
  moved,
}: Omit<ShiftedEncryption, 'keyslot' | 'area'>): boolean {
  const { sizeBytes } = previous;
  return (
    [previous.type, moved.type, final.type].join() === 'linear,linear,crypt' &&
    final.encryption !== null &&
    final.integrity === null &&
    final.ivTweak === 0n &&
    final.sizeBytes === 'dynamic' &&
    final.offsetBytes === shiftBytes &&
    shiftBytes > 0 &&
    shiftBytes % ALIGN_BYTES === 0 &&
    previous.offsetBytes === 0 &&
    typeof sizeBytes === 'number' &&
    sizeBytes > 0 &&
    sizeBytes % final.sectorSizeBytes === 0 &&
    moved.sizeBytes === Math.min(sizeBytes, shiftBytes) &&
    moved.offsetBytes >= sizeBytes + shiftBytes
  );
}

/** The encryption with a shift that the header has under way; null where it has none, or a reencryption without. Throws UNSUPPORTED, HEADER_CORRUPT. */
export function findShiftedEncryption(header: LuksHeader): ShiftedEncryption | null {
  const entry = [...header.keyslots].find(
    ([, { type, area }]) => type === 'reencrypt' && area?.type === AREA_TYPE,
  );
  const { requirements } = header.config;
  if (!entry || requirements.length === 0) return null;
  if (requirements.some((name) => name !== REQUIREMENT))
    throw unsupported(`requires "${requirements.join(', ')}"`);
  const [keyslot, { area }] = entry;
  const object = objectMember(objectMember(header.document, 'keyslots'), String(keyslot));
  const shift = member(objectMember(object, 'area'), 'shift_size');
  const [previous, final] = [requireBackup(header, 'backup-previous'), requireBackup(header, 'backup-final')];
  const moved = header.segments.find(({ flags }) => flags.includes('backup-moved-segment'));
  const digest = findDigestOfSegment(header, final);
  if (
    !moved ||
    digest === null ||
    !isUint64(shift) ||
    object.mode !== 'encrypt' ||
    object.direction !== 'backward'
  ) {
    throw unsupported('shifts its data in another way');
  }
  const shifted = {
    shiftBytes: Number(shift),
    previous,
    final,
    moved,
    previousDigest: null,
    finalDigest: digest,
  };
  if (!isSound(shifted)) throw unsupported('shifts its data to other places');
  return { ...shifted, keyslot, area: { offsetBytes: area!.offsetBytes, sizeBytes: area!.sizeBytes } };
}

/** The segment that a part is. A hot one is written as what it is about to be. */
function encodePart({ previous, final }: ShiftedSides, part: ShiftedPart): JsonObject {
  const { state, offsetBytes, sizeBytes, dataOffsetBytes } = part;
  return encodeAnySegment({
    ...(state === 'old' ? previous : final),
    offsetBytes,
    sizeBytes,
    ivTweak: BigInt(dataOffsetBytes / IV_UNIT_BYTES),
    flags: state === 'hot' ? [HOT_FLAG] : [],
  });
}

/** Of the one side that is ciphertext. */
function digestOf({ previousDigest, finalDigest }: ShiftedSides): number {
  return (finalDigest ?? previousDigest)!;
}

/** `header` with the row of segments that says that these parts are done, hot and to be done. */
export function withShiftedParts(
  header: LuksHeader,
  sides: ShiftedSides,
  parts: readonly ShiftedPart[],
): LuksHeader {
  const row = [
    ...parts.map((part) => encodePart(sides, part)),
    encodeAnySegment({ ...sides.previous, flags: ['backup-previous'] }),
    encodeAnySegment({ ...sides.final, flags: ['backup-final'] }),
    encodeAnySegment({ ...sides.moved, flags: ['backup-moved-segment'] }),
  ];
  return editHeader(header, (document) => {
    document.segments = Object.fromEntries(row.map((segment, id) => [String(id), segment]));
    const ids = row.flatMap(({ type }, id) => (type === 'crypt' ? [String(id)] : []));
    for (const [id, digest] of Object.entries(objectMember(document, 'digests'))) {
      (digest as JsonObject).segments = Number(id) === digestOf(sides) ? ids : [];
    }
  });
}

/** True where the header's row of segments is just that of these parts; its backups can come in any order behind it. */
export function hasShiftedParts(
  header: LuksHeader,
  sides: ShiftedSides,
  parts: readonly ShiftedPart[],
): boolean {
  const spell = (each: LuksHeader) =>
    JSON.stringify([
      spellSegments(volumeSegments(each)),
      [...each.digests].map(([id, { segments }]) => [id, segments.length]),
    ]);
  const isOwned = header.segments.every(
    ({ id, type }) => type !== 'crypt' || header.digests.get(digestOf(sides))!.segments.includes(id),
  );
  return isOwned && spell(header) === spell(withShiftedParts(header, sides, parts));
}

/** `header` with the encryption begun and nothing of it done. Its verification digest is still to be added. */
export function withShiftedEncryption(
  header: LuksHeader,
  shifted: ShiftedEncryption,
  parts: readonly ShiftedPart[],
): LuksHeader {
  const { keyslot, area, shiftBytes } = shifted;
  const begun = editHeader(header, (document) => {
    objectMember(document, 'keyslots')[keyslot] = {
      ...{ type: 'reencrypt', key_size: 1, mode: 'encrypt', direction: 'backward', priority: 0 },
      area: {
        type: AREA_TYPE,
        offset: String(area.offsetBytes),
        size: String(area.sizeBytes),
        shift_size: String(shiftBytes),
      },
    };
    objectMember(document, 'config').requirements = { mandatory: [REQUIREMENT] };
  });
  return withShiftedParts(begun, shifted, parts);
}
