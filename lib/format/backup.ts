/**
 * Header backups: the header and its key material as they lie on the device, byte for byte, so that every
 * LUKS program can use the file, and behind them a trailer with a checksum, which only this one looks at.
 */

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { alignUp } from '../bytes.js';
import { type Device, syncDirectoryOf } from '../device.js';
import { isSystemError, LuksError } from '../errors.js';
import { lockImage } from '../image-lock.js';
import { applySteps, type WriteStep } from './change.js';
import { findReadableHeader, readHeader } from './header.js';
import { withHeaderLock } from './lock.js';
import { LUKS1_HEADER_BYTES } from './luks1.js';
import type { LuksHeader } from './model.js';
import { requireNoUnknownRequirements } from './requirements.js';
import { planCopy, planLuks1Keyslots } from './write.js';

const TRAILER_MAGIC = 'luksfuse header backup 1\n';
const TRAILER_BYTES = 512;
const PAGE_BYTES = 4096;
const COMPARE_BYTES = 4096;

/** What a backup holds: up to the end of the key material, in whole pages. */
function backupBytes(header: LuksHeader): number {
  return alignUp(header.headerSizeBytes, PAGE_BYTES);
}

/** Zeros stand in for padding that the file never had. */
function readRegion(device: Device, sizeBytes: number): Buffer {
  const region = Buffer.alloc(sizeBytes);
  device.readAt(region, 0);
  return region;
}

function encodeTrailer(region: Buffer): Buffer {
  const trailer = Buffer.alloc(TRAILER_BYTES);
  trailer.write(`${TRAILER_MAGIC}${region.length}\n${createHash('sha256').update(region).digest('hex')}\n`);
  return trailer;
}

/** Writes a new file to stable storage, or leaves none. Throws BAD_ARGUMENT where it exists, DEVICE_IO. */
function writeNewFile(file: string, ...parts: Buffer[]): void {
  try {
    const fd = fs.openSync(file, 'wx', 0o600);
    try {
      for (const part of parts) fs.writeFileSync(fd, part);
      fs.fsyncSync(fd);
    } catch (error) {
      fs.rmSync(file);
      throw error;
    } finally {
      fs.closeSync(fd);
    }
    syncDirectoryOf(file);
  } catch (cause) {
    if (isSystemError(cause) && cause.code === 'EEXIST') {
      throw new LuksError(
        'BAD_ARGUMENT',
        `${file} exists, and a backup overwrites nothing; give another name`,
      );
    }
    throw new LuksError('DEVICE_IO', `cannot write the backup ${file}: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/**
 * Copies the header of `device` to a new file, readable by its owner alone. Whoever has the file and a
 * passphrase of now can open the volume, whatever happens to its keyslots later.
 * Throws BAD_ARGUMENT where the file exists, DEVICE_IO, and the errors of `readHeader`.
 */
export async function backupHeader(device: Device, file: string): Promise<LuksHeader> {
  return withHeaderLock(device, async () => {
    const header = readHeader(device);
    const region = readRegion(device, backupBytes(header));
    writeNewFile(file, region, encodeTrailer(region));
    return header;
  });
}

/** Throws HEADER_CORRUPT where the backup has a trailer that does not match. Those of cryptsetup have none. */
function requireIntact(backup: Device, region: Buffer): void {
  const trailer = Buffer.alloc(TRAILER_BYTES);
  backup.readAt(trailer, region.length);
  if (trailer.toString('latin1', 0, TRAILER_MAGIC.length) !== TRAILER_MAGIC) return;
  if (trailer.equals(encodeTrailer(region))) return;
  throw new LuksError(
    'HEADER_CORRUPT',
    `the backup ${backup.path} was damaged since it was made: its checksum does not match; use another copy of it`,
  );
}

export interface RestorePreview {
  /** Null where the device has none, or none that can be read. */
  current: LuksHeader | null;
  backup: LuksHeader;
  /** What would be different after the restore, for people. */
  differences: string[];
  /** Why the restore is refused unless it is forced. */
  objections: string[];
}

function keyslotList(header: LuksHeader): string {
  return [...header.keyslots.keys()].join(', ') || 'none';
}

function payloadOf(header: LuksHeader): string {
  return header.segments
    .map(
      ({ encryption, offsetBytes, sectorSizeBytes }) =>
        `${encryption} at ${offsetBytes}, sectors of ${sectorSizeBytes}`,
    )
    .join('; ');
}

/** Compares device and backup. Throws HEADER_CORRUPT where the backup is not whole. Writes nothing. */
export function previewRestore(device: Device, backup: Device): RestorePreview {
  const header = readHeader(backup);
  requireIntact(backup, readRegion(backup, backupBytes(header)));
  const current = findReadableHeader(device);
  if (!current) {
    const objections = [`${device.path} carries no readable LUKS header now`];
    return { current, backup: header, differences: ['everything'], objections };
  }
  const rows: [what: string, of: (each: LuksHeader) => string][] = [
    ['version', (each) => `LUKS${each.version}`],
    ['UUID', (each) => each.uuid],
    ['payload', payloadOf],
    ['keyslots', keyslotList],
    ['label', (each) => each.label],
    ['size of the header', (each) => String(each.headerSizeBytes)],
  ];
  const changed = rows.filter(([, of]) => of(current) !== of(header));
  const differences = changed.map(
    ([what, of]) => `${what}: ${of(current) || 'none'} → ${of(header) || 'none'}`,
  );
  const objections = changed.flatMap(([what, of]) =>
    what === 'UUID' || what === 'payload'
      ? [`the ${what} of the backup is ${of(header)}, that of the device ${of(current)}`]
      : [],
  );
  return { current, backup: header, differences, objections };
}

/** The pages of `region` that are not on the device yet. */
function planChanges(device: Device, region: Buffer, startBytes: number): WriteStep[] {
  const steps: WriteStep[] = [];
  const present = Buffer.alloc(COMPARE_BYTES);
  for (let offsetBytes = startBytes; offsetBytes < region.length; offsetBytes += COMPARE_BYTES) {
    const bytes = region.subarray(offsetBytes, offsetBytes + COMPARE_BYTES);
    const count = device.readAt(present.subarray(0, bytes.length), offsetBytes);
    if (count === bytes.length && present.subarray(0, count).equals(bytes)) continue;
    const last = steps.at(-1);
    if (last && last.offsetBytes + last.bytes.length === offsetBytes) {
      last.bytes = region.subarray(last.offsetBytes, offsetBytes + bytes.length);
    } else {
      steps.push({ what: 'key material of the backup', offsetBytes, bytes });
    }
  }
  return steps;
}

/**
 * Key material first, then metadata. The only copy of a LUKS1 header changes keyslot by keyslot where it can, so that a
 * cut leaves those that both headers have; the last write then brings what does not matter. A LUKS2 header gets a seqid above that of any copy it replaces, or else
 * a cut between the two copies would leave the replaced one in force.
 */
function planRestore(device: Device, { current, backup }: RestorePreview, region: Buffer): WriteStep[] {
  const { disk } = backup;
  if (disk.version === 1) {
    const header = { what: 'header', offsetBytes: 0, bytes: region.subarray(0, LUKS1_HEADER_BYTES) };
    const keyslots = current?.version === 1 ? planLuks1Keyslots(current, backup) : null;
    return [...planChanges(device, region, LUKS1_HEADER_BYTES), ...(keyslots ?? []), header];
  }
  const currentSeqid = current?.disk.version === 2 ? current.disk.seqid : 0n;
  const seqid = (currentSeqid > disk.seqid ? currentSeqid : disk.seqid) + 1n;
  return [
    ...planChanges(device, region, 2 * disk.hdrSizeBytes),
    planCopy(backup, disk, 'primary', seqid),
    planCopy(backup, disk, 'secondary', seqid),
  ];
}

export interface RestoreOptions {
  /** Where the replaced header is kept, in a new file; it is written before anything is replaced. */
  keepReplacedAt?: string;
  /** Also where `previewRestore` objects. */
  force?: boolean;
}

/**
 * Replaces the header of `device` by that of `backup`. Keys added since the backup are gone then, and keys
 * removed since it open the volume again. The two headers' key material may lie in the same places, so a cut
 * may leave keyslots of neither: until it is done the replaced header is in `keepReplacedAt`.
 * Claims `device` as a writer until it is closed: BUSY while the volume is mounted.
 * Throws BAD_ARGUMENT where the preview objects, HEADER_CORRUPT, UNSUPPORTED, BUSY, DEVICE_IO.
 */
export async function restoreHeader(
  device: Device,
  backup: Device,
  options: RestoreOptions = {},
): Promise<RestorePreview> {
  lockImage(device, 'writer');
  return withHeaderLock(device, async () => {
    const preview = previewRestore(device, backup);
    const { objections, current, backup: header } = preview;
    requireNoUnknownRequirements(header, 'restore a header');
    if (current) requireNoUnknownRequirements(current, 'replace a header');
    if (objections.length && !options.force) {
      throw new LuksError(
        'BAD_ARGUMENT',
        `this may be the wrong backup: ${objections.join('; ')}; give --force if it is not`,
      );
    }
    const region = readRegion(backup, backupBytes(header));
    if (options.keepReplacedAt !== undefined) {
      const replaced = readRegion(device, current ? backupBytes(current) : region.length);
      writeNewFile(options.keepReplacedAt, replaced, encodeTrailer(replaced));
    }
    applySteps(device, planRestore(device, preview, region));
    return preview;
  });
}
