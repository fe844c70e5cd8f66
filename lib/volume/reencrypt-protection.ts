/**
 * What protects a zone that is rewritten where it is: checksums of its blocks or a copy of it, in the area of the
 * reencryption's keyslot. Makes and uses it; which zone is hot the header says.
 */
import createDebug from 'debug';
import { hashSizeBytes } from '../crypto/hash.js';
import type { Device, ReadableDevice } from '../device.js';
import { LuksError } from '../errors.js';
import type { WriteStep } from '../format/change.js';
import type { ReencryptionPlan } from '../format/reencryption.js';
import type { Extent, Piece } from './reencrypt-parts.js';
import type { ZoneTeam } from './reencrypt-team.js';

const debug = createDebug('luksfuse:reencrypt');

/** The largest zone that the keyslot's area can protect. */
export function protectableBytes({ resilience, area, hash, blockSizeBytes }: ReencryptionPlan): number {
  if (resilience === 'none') return Number.POSITIVE_INFINITY;
  if (resilience === 'journal') return area.sizeBytes;
  return Math.floor(area.sizeBytes / hashSizeBytes(hash)) * blockSizeBytes;
}

/** The write that makes a cut within the zone harmless. @param dataOffsetBytes where the data begins on `payload` */
export async function planProtection(
  team: ZoneTeam,
  { resilience, area }: ReencryptionPlan,
  payload: Device,
  dataOffsetBytes: number,
  zone: Extent,
): Promise<WriteStep> {
  if (resilience === 'checksum') {
    const checksums = Buffer.from(await team.hash(zone));
    return { what: 'checksums of the hot zone', offsetBytes: area.offsetBytes, bytes: checksums };
  }
  const bytes = Buffer.alloc(zone.sizeBytes);
  payload.readFullyAt(bytes, dataOffsetBytes + zone.offsetBytes);
  return { what: 'journal of the hot zone', offsetBytes: area.offsetBytes, bytes };
}

/**
 * Brings a hot zone that an interruption left to its new form by what protects it on `device`, as far as that can be done.
 * Returns what it consists of then. Throws HEADER_CORRUPT, and the errnos of both devices.
 * @param isReader writes nothing, and returns what can be read of the zone as it is
 */
export function recoverZone(
  team: ZoneTeam,
  plan: ReencryptionPlan,
  device: ReadableDevice,
  zone: Extent,
  { isReader = false } = {},
): Piece[] {
  const { resilience, area, hash, blockSizeBytes } = plan;
  debug('recover %d bytes at %d by %s', zone.sizeBytes, zone.offsetBytes, resilience);
  if (protectableBytes(plan) < zone.sizeBytes || zone.sizeBytes % blockSizeBytes !== 0) {
    throw new LuksError(
      'HEADER_CORRUPT',
      'the hot zone of the reencryption is larger than what can protect it',
    );
  }
  if (resilience === 'checksum') {
    const checksums = Buffer.alloc((zone.sizeBytes / blockSizeBytes) * hashSizeBytes(hash));
    device.readFullyAt(checksums, area.offsetBytes);
    return team.zone.recoverRange(zone, checksums, isReader);
  }
  // Nothing tells how far the zone was rewritten; a journal can only be written out.
  if (resilience === 'none' || isReader) return [{ ...zone, state: 'lost' }];
  team.zone.restoreRange(zone, device, area.offsetBytes);
  return [{ ...zone, state: 'new' }];
}
