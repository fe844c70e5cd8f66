/**
 * Rules about the geometry of metadata that hold for both versions. Each returns what is wrong, or null.
 */
import { type AreaPlace, isBackupSegment, type Metadata, volumeSegments } from './model.js';

export interface NamedArea extends AreaPlace {
  /** For the message: `keyslot 3`. */
  name: string;
}

/** Areas lie between `startBytes` and `endBytes` and share no byte. */
export function checkAreas(areas: readonly NamedArea[], startBytes: number, endBytes: number): string | null {
  for (const { name, offsetBytes, sizeBytes } of areas) {
    if (offsetBytes < startBytes) return `the area of ${name} overlaps the header`;
    if (offsetBytes + sizeBytes > endBytes) return `the area of ${name} ends behind the keyslots area`;
  }
  const byOffset = areas.toSorted((a, b) => a.offsetBytes - b.offsetBytes);
  for (const [index, area] of byOffset.entries()) {
    const next = byOffset[index + 1];
    if (next && area.offsetBytes + area.sizeBytes > next.offsetBytes) {
      return `the areas of ${area.name} and ${next.name} overlap`;
    }
  }
  return null;
}

/** What a check of the whole metadata knows besides it. */
interface Bounds {
  /** Key material lies between these offsets. */
  areasStartBytes: number;
  areasEndBytes: number;
}

/** What is wrong, or null. */
type Check = (metadata: Metadata, bounds: Bounds) => string | null;

const areasAreApart: Check = ({ keyslots }, { areasStartBytes, areasEndBytes }) => {
  const areas = [...keyslots]
    .filter(([, keyslot]) => keyslot.area !== null)
    .map(([id, keyslot]) => ({ name: `keyslot ${id}`, ...keyslot.area! }));
  return checkAreas(areas, areasStartBytes, areasEndBytes);
};

const areasHoldTheirMaterial: Check = ({ keyslots }) => {
  for (const [id, { area, af, keySizeBytes }] of keyslots) {
    if (area && af && keySizeBytes * af.stripes > area.sizeBytes) {
      return `the area of keyslot ${id} is too small for ${af.stripes} stripes of ${keySizeBytes} bytes`;
    }
  }
  return null;
};

const tokensReferToKeyslots: Check = ({ tokens, keyslots }) => {
  for (const [id, token] of tokens) {
    const missing = token.keyslots.find((keyslot) => !keyslots.has(keyslot));
    if (missing !== undefined) return `token ${id} refers to keyslot ${missing}, which does not exist`;
  }
  return null;
};

const digestsReferToWhatExists: Check = ({ digests, keyslots, segments }) => {
  for (const [id, digest] of digests) {
    const keyslot = digest.keyslots.find((each) => !keyslots.has(each));
    if (keyslot !== undefined) return `digest ${id} refers to keyslot ${keyslot}, which does not exist`;
    const segment = digest.segments.find((each) => !segments.some(({ id: other }) => other === each));
    if (segment !== undefined) return `digest ${id} refers to segment ${segment}, which does not exist`;
  }
  return null;
};

const keyslotsHaveOneDigest: Check = ({ digests, keyslots }) => {
  for (const [id, keyslot] of keyslots) {
    if (keyslot.type !== 'luks2') continue;
    const owners = [...digests.values()].filter((digest) => digest.keyslots.includes(id)).length;
    if (owners !== 1) return `keyslot ${id} belongs to ${owners} digests, not to one`;
  }
  return null;
};

const cryptSegmentsHaveADigest: Check = ({ digests, segments }) => {
  const owned = new Set([...digests.values()].flatMap((digest) => digest.segments));
  const lost = segments.find((segment) => segment.type === 'crypt' && !owned.has(segment.id));
  return lost ? `segment ${lost.id} is encrypted and belongs to no digest` : null;
};

const segmentsAreNumberedInARow: Check = ({ segments }) => {
  const gap = segments.findIndex((segment, index) => segment.id !== index);
  return gap < 0 ? null : `segment ${gap} is missing before segment ${segments[gap]!.id}`;
};

const backupSegmentsAreLast: Check = ({ segments }) => {
  const first = segments.findIndex(isBackupSegment);
  const stray = first < 0 ? undefined : segments.slice(first).find((segment) => !isBackupSegment(segment));
  return stray ? `segment ${stray.id} lies behind a backup segment` : null;
};

const segmentsAreWholeSectors: Check = ({ segments }) => {
  for (const { id, offsetBytes, sizeBytes, sectorSizeBytes } of segments) {
    if (offsetBytes % 512) return `the offset of segment ${id} is not a multiple of 512`;
    if (sizeBytes === 'dynamic') continue;
    if (sizeBytes === 0 || sizeBytes % sectorSizeBytes) {
      return `the size of segment ${id} is not a multiple of its sectors of ${sectorSizeBytes} bytes`;
    }
  }
  return null;
};

const onlyTheLastSegmentIsDynamic: Check = (metadata) => {
  const early = volumeSegments(metadata)
    .slice(0, -1)
    .find((segment) => segment.sizeBytes === 'dynamic');
  return early ? `segment ${early.id} has no fixed size and is not the last one` : null;
};

const segmentsDoNotOverlap: Check = (metadata) => {
  const byOffset = volumeSegments(metadata).toSorted((a, b) => a.offsetBytes - b.offsetBytes);
  for (const [index, segment] of byOffset.entries()) {
    const next = byOffset[index + 1];
    const sizeBytes = segment.sizeBytes === 'dynamic' ? Number.POSITIVE_INFINITY : segment.sizeBytes;
    if (next && segment.offsetBytes + sizeBytes > next.offsetBytes) {
      return `segments ${segment.id} and ${next.id} overlap`;
    }
  }
  return null;
};

const CHECKS: readonly Check[] = [
  areasAreApart,
  areasHoldTheirMaterial,
  tokensReferToKeyslots,
  digestsReferToWhatExists,
  keyslotsHaveOneDigest,
  segmentsAreNumberedInARow,
  cryptSegmentsHaveADigest,
  backupSegmentsAreLast,
  segmentsAreWholeSectors,
  onlyTheLastSegmentIsDynamic,
  segmentsDoNotOverlap,
];

/** The first rule that decoded metadata breaks, or null. */
export function findMetadataProblem(metadata: Metadata, bounds: Bounds): string | null {
  for (const check of CHECKS) {
    const problem = check(metadata, bounds);
    if (problem) return problem;
  }
  return null;
}
