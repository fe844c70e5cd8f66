/**
 * Splits byte ranges at sector edges. Pure arithmetic; knows no device and no cipher.
 */
import { alignDown } from '../bytes.js';

/** A byte range cut at sector edges; the three lengths add up to the range. */
export interface SectorSplit {
  /** Bytes inside a first sector that the range does not cover whole; 0 where it starts on an edge. */
  headBytes: number;
  /** Bytes of whole sectors. */
  wholeBytes: number;
  /** Bytes inside a last sector that the range does not cover whole. */
  tailBytes: number;
}

/** A range that lies within one sector without filling it is all head, or all tail if it starts on the edge. */
export function splitAtSectors(
  offsetBytes: number,
  lengthBytes: number,
  sectorSizeBytes: number,
): SectorSplit {
  const intoSector = offsetBytes - alignDown(offsetBytes, sectorSizeBytes);
  const headBytes = intoSector === 0 ? 0 : Math.min(sectorSizeBytes - intoSector, lengthBytes);
  const tailBytes = (lengthBytes - headBytes) % sectorSizeBytes;
  return { headBytes, wholeBytes: lengthBytes - headBytes - tailBytes, tailBytes };
}
