/**
 * A decryption that gives back the room of its header, as a LUKS2 header records it (requirement `online-reencrypt-v3`,
 * resilience `datashift-checksum` or `datashift-journal`): the header has left the payload for a file of its own, the head
 * of the data was copied to the payload's start, and the rest goes forward, to where it is nearer to the start by the
 * shift. The head comes last, where it is. Reads and edits metadata; moves no data.
 */
import { LuksError } from '../errors.js';
import { editHeader } from './edit.js';
import { isUint64, member, objectMember } from './json.js';
import { findDigestOfSegment, type LuksHeader } from './model.js';
import {
  decodePlan,
  encodePlan,
  GIVEBACK_REQUIREMENT,
  type ReencryptionMode,
  type ReencryptionPlan,
  requireBackup,
  requireReencryption,
} from './reencryption.js';
import {
  findShiftedEncryption,
  type ShiftedPart,
  type ShiftedSides,
  withShiftedParts,
} from './reencryption-shift.js';

export interface Giveback extends ReencryptionPlan, ShiftedSides {
  /** How much nearer to the start the data gets: where it began behind the header. */
  shiftBytes: number;
  previousDigest: number;
  finalDigest: null;
}

/**
 * Ours: the head of the data may not have been copied yet, and the payload may still have its header. Nobody who does not
 * know it goes on with the record, which would take what lies at the payload's start for the head.
 */
const UNMOVED_REQUIREMENT = 'luksfuse-unmoved';
const AREA_TYPE = /^datashift-/;
const ALIGN_BYTES = 4096;

function unsupported(what: string): LuksError {
  return new LuksError(
    'UNSUPPORTED',
    `this decryption ${what}, which is not known here; finish it with: cryptsetup reencrypt --resume-only`,
  );
}

/** The layout that makes one step never overwrite what it, or a later one, still reads. */
function isSound(giveback: Omit<Giveback, 'keyslot' | 'previousDigest'>): boolean {
  const { mode, direction, shiftBytes, previous, final, moved, blockSizeBytes } = giveback;
  const headBytes = Number(moved.sizeBytes);
  return (
    mode === 'decrypt' &&
    direction === 'forward' &&
    [previous.type, moved.type, final.type].join() === 'crypt,crypt,linear' &&
    previous.encryption !== null &&
    previous.encryption === moved.encryption &&
    previous.sectorSizeBytes === moved.sectorSizeBytes &&
    [previous, moved].every(({ integrity, ivTweak }) => integrity === null && ivTweak === 0n) &&
    previous.offsetBytes === shiftBytes &&
    [moved, final].every(({ offsetBytes }) => offsetBytes === 0) &&
    [previous, final].every(({ sizeBytes }) => sizeBytes === 'dynamic') &&
    shiftBytes > 0 &&
    shiftBytes % ALIGN_BYTES === 0 &&
    headBytes > 0 &&
    headBytes <= shiftBytes &&
    headBytes % Math.max(previous.sectorSizeBytes, blockSizeBytes) === 0
  );
}

/** The decryption of that kind that the header has under way; null where it has none. Throws UNSUPPORTED, HEADER_CORRUPT. */
export function findGiveback(header: LuksHeader): Giveback | null {
  const { requirements } = header.config;
  if (!requirements.includes(GIVEBACK_REQUIREMENT)) return null;
  const other = requirements.find((name) => name !== GIVEBACK_REQUIREMENT && name !== UNMOVED_REQUIREMENT);
  if (other !== undefined) throw unsupported(`requires "${other}"`);
  const entry = [...header.keyslots].find(([, { type }]) => type === 'reencrypt');
  const moved = header.segments.find(({ flags }) => flags.includes('backup-moved-segment'));
  if (!entry?.[1].area || !AREA_TYPE.test(entry[1].area.type) || !moved) throw unsupported('moves no head');
  const [keyslot, { area }] = entry;
  const object = objectMember(objectMember(header.document, 'keyslots'), String(keyslot));
  const shift = member(objectMember(object, 'area'), 'shift_size');
  const [previous, final] = [requireBackup(header, 'backup-previous'), requireBackup(header, 'backup-final')];
  const giveback = {
    ...decodePlan(object, area, area.type.replace(AREA_TYPE, '')),
    shiftBytes: isUint64(shift) ? Number(shift) : 0,
    previous,
    final,
    moved,
    finalDigest: null,
  };
  const previousDigest = findDigestOfSegment(header, previous);
  if (previousDigest === null || giveback.resilience === 'none' || !isSound(giveback)) {
    throw unsupported('moves its data in another way');
  }
  return { ...giveback, keyslot, previousDigest };
}

/** True where the head of the data is not known to be at the payload's start. */
export function isUnmoved(header: LuksHeader): boolean {
  return header.config.requirements.includes(UNMOVED_REQUIREMENT);
}

/** `header` with the decryption begun and nothing of it done, not even its head copied. Its verification digest is still to be added. */
export function withGiveback(
  header: LuksHeader,
  giveback: Giveback,
  parts: readonly ShiftedPart[],
): LuksHeader {
  const { keyslot, resilience, shiftBytes } = giveback;
  const object = encodePlan(giveback);
  Object.assign(objectMember(object, 'area'), {
    type: `datashift-${resilience}`,
    shift_size: String(shiftBytes),
  });
  const begun = editHeader(header, (document) => {
    objectMember(document, 'keyslots')[keyslot] = object;
    objectMember(document, 'config').requirements = {
      mandatory: [GIVEBACK_REQUIREMENT, UNMOVED_REQUIREMENT],
    };
  });
  return withShiftedParts(begun, giveback, parts);
}

/** `header` once the head of the data is at the payload's start, which has no header any more. */
export function withMovedHead(header: LuksHeader): LuksHeader {
  return editHeader(header, (document) => {
    objectMember(document, 'config').requirements = { mandatory: [GIVEBACK_REQUIREMENT] };
  });
}

/** What was begun, whichever way. Throws as `requireReencryption`. */
export function begunMode(header: LuksHeader): ReencryptionMode {
  if (findGiveback(header)) return 'decrypt';
  return findShiftedEncryption(header) ? 'encrypt' : requireReencryption(header).mode;
}
