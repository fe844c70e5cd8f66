/**
 * Where new key material can go. Pure.
 */
import { alignDown, alignUp } from '../bytes.js';
import { LuksError } from '../errors.js';
import type { AreaPlace, LuksHeader } from './model.js';

/** Alignment of areas and of their sizes, in both versions. */
export const AREA_ALIGN_BYTES = 4096;

/** Bytes of area for a key: its stripes, in whole blocks. */
export function areaSizeBytes(keySizeBytes: number, stripes: number): number {
  return alignUp(keySizeBytes * stripes, AREA_ALIGN_BYTES);
}

/** The first gap of `sizeBytes` between `taken` places from `startBytes` on, or null. */
export function findGap(
  taken: readonly AreaPlace[],
  sizeBytes: number,
  startBytes: number,
  endBytes: number,
): AreaPlace | null {
  let offsetBytes = startBytes;
  for (const place of taken.toSorted((a, b) => a.offsetBytes - b.offsetBytes)) {
    if (place.offsetBytes >= offsetBytes + sizeBytes) break;
    offsetBytes = Math.max(offsetBytes, alignUp(place.offsetBytes + place.sizeBytes, AREA_ALIGN_BYTES));
  }
  return offsetBytes + sizeBytes <= endBytes ? { offsetBytes, sizeBytes } : null;
}

/**
 * A place for the material of keyslot `id`: in LUKS1 each has its own, in LUKS2 the first that is free.
 * Throws BAD_ARGUMENT where there is no room.
 */
export function requireArea(header: LuksHeader, id: number, sizeBytes: number): AreaPlace {
  const { disk } = header;
  if (disk.version === 1) return disk.areas[id]!;
  const taken = [...header.keyslots.values()].flatMap(({ area }) => (area ? [area] : []));
  const place = findGap(taken, sizeBytes, 2 * disk.hdrSizeBytes, header.headerSizeBytes);
  if (place) return place;
  throw new LuksError(
    'BAD_ARGUMENT',
    'the keyslots area of the header has no room left; remove a keyslot first',
  );
}

/** The largest gap of a LUKS2 header's keyslots area. Throws BAD_ARGUMENT where there is none. */
export function requireLargestArea(header: LuksHeader): AreaPlace {
  const { disk } = header;
  if (disk.version === 1)
    throw new LuksError('BAD_ARGUMENT', 'LUKS1 has no free places; convert to LUKS2 first');
  const taken = [...header.keyslots.values()].flatMap(({ area }) => (area ? [area] : []));
  const bounds = [...taken, { offsetBytes: header.headerSizeBytes, sizeBytes: 0 }];
  let startBytes = 2 * disk.hdrSizeBytes;
  let largest: AreaPlace = { offsetBytes: startBytes, sizeBytes: 0 };
  for (const { offsetBytes, sizeBytes } of bounds.toSorted((a, b) => a.offsetBytes - b.offsetBytes)) {
    const gapBytes = alignDown(offsetBytes - startBytes, AREA_ALIGN_BYTES);
    if (gapBytes > largest.sizeBytes) largest = { offsetBytes: startBytes, sizeBytes: gapBytes };
    startBytes = Math.max(startBytes, alignUp(offsetBytes + sizeBytes, AREA_ALIGN_BYTES));
  }
  if (largest.sizeBytes > 0) return largest;
  throw new LuksError(
    'BAD_ARGUMENT',
    'the keyslots area of the header has no room left; remove a keyslot first',
  );
}
