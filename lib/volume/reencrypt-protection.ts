/**
 * What protects a zone that is rewritten where it is: checksums of its blocks or a copy of it, in the area of the
 * reencryption's keyslot. Makes and uses it; which zone is hot the header says.
 */
import createDebug from 'debug';
import { hashSizeBytes } from '../crypto/hash.js';
import type { Device } from '../device.js';
import { LuksError } from '../errors.js';
import type { WriteStep } from '../format/change.js';
import type { ReencryptionPlan } from '../format/reencryption.js';
import type { Extent } from './reencrypt-parts.js';
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
 * Brings a hot zone that a cut left to its new form, whatever of it is there, by what protects it on `device`.
 * Throws HEADER_CORRUPT, UNSUPPORTED, DEVICE_IO.
 */
export function recoverZone(team: ZoneTeam, plan: ReencryptionPlan, device: Device, zone: Extent): void {
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
    team.zone.recoverRange(zone, checksums);
  } else if (resilience === 'journal') {
    team.zone.restoreRange(zone, device, area.offsetBytes);
  } else {
    throw new LuksError(
      'UNSUPPORTED',
      'the reencryption was cut short within a zone that nothing protected (resilience none); restore the data from a backup',
    );
  }
}
