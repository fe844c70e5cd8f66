/**
 * Begins a decryption that gives back the room of its header: all of the header goes to a file of its own, which records
 * what is to be done. The payload is not touched; `moveHead` is what comes next.
 */
import { alignDown } from '../bytes.js';
import { checkNewHash } from '../crypto/hash.js';
import type { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { requireLargestArea } from '../format/areas.js';
import { requireUnchanged } from '../format/change.js';
import { requireFreeId } from '../format/edit.js';
import { readHeader } from '../format/header.js';
import { withHeaderLock } from '../format/lock.js';
import { isNullCipher, type LuksHeader, type Segment } from '../format/model.js';
import type { ReencryptionPlan } from '../format/reencryption.js';
import { findGiveback, type Giveback, withGiveback } from '../format/reencryption-giveback.js';
import { planCopy } from '../format/write.js';
import { DEFAULT_HASH } from '../keyslot/new-digest.js';
import { withVerifiedReencryption } from '../keyslot/reencrypt-digest.js';
import { requireVolumeKey, type Unlock } from '../keyslot/unlock.js';
import { writeNewHeaderFile } from './header-file.js';
import { DEFAULT_ZONE_BYTES } from './reencrypt.js';
import { type BeginOptions, requireWhole, withoutPairing } from './reencrypt-begin.js';
import { givebackBeginning } from './reencrypt-giveback.js';
import { givebackPartsOf } from './reencrypt-giveback-parts.js';
import { dataBytes } from './reencrypt-open.js';
import { protectableBytes } from './reencrypt-protection.js';

export interface GivebackOptions extends BeginOptions {
  /** The most that is rewritten in one step. */
  zoneBytes?: number;
}

const PAGE_BYTES = 4096;

/** The data behind the header. Throws BAD_ARGUMENT, UNSUPPORTED where it cannot be moved. */
function requireMovable(header: LuksHeader): Segment {
  const segment = requireWhole(header, 'decrypt');
  const { sizeBytes, offsetBytes, encryption } = segment;
  if (sizeBytes === 'dynamic' && offsetBytes % PAGE_BYTES === 0 && !isNullCipher(encryption!)) return segment;
  throw new LuksError(
    'UNSUPPORTED',
    'cannot decrypt: the data does not go on to the end of the payload, begins within a page, or has the null cipher',
  );
}

/** Throws BAD_ARGUMENT for what cannot be of a decryption that moves its data. */
function requirePlan(header: LuksHeader, unitBytes: number, options: GivebackOptions): ReencryptionPlan {
  const { resilience = 'checksum', resilienceHash = DEFAULT_HASH, direction = 'forward' } = options;
  if (resilience === 'none' || direction === 'backward') {
    throw new LuksError(
      'BAD_ARGUMENT',
      'where the header gives back its room, the data goes forward and with protection; leave ' +
        `${resilience === 'none' ? '--resilience none' : '--direction backward'} out`,
    );
  }
  checkNewHash(resilienceHash);
  const hash = resilience === 'checksum' ? resilienceHash : '';
  const area = requireLargestArea(header);
  return { mode: 'decrypt', direction, resilience, area, hash, blockSizeBytes: unitBytes };
}

/** As much as the area can protect, for it is rewritten where it is, in one step. */
function requireHeadBytes(plan: ReencryptionPlan, mostBytes: number): number {
  const headBytes = alignDown(Math.min(mostBytes, protectableBytes(plan)), plan.blockSizeBytes);
  if (headBytes > 0) return headBytes;
  throw new LuksError(
    'BAD_ARGUMENT',
    `a hot zone must have ${plan.blockSizeBytes} bytes at least; give a larger --hotzone-size`,
  );
}

/** The header for the file: that of the payload with what is to be done. */
async function withBegun(
  header: LuksHeader,
  payload: Device,
  key: { volumeKey: { bytes: Uint8Array }; digestId: number },
  options: GivebackOptions,
): Promise<LuksHeader> {
  const previous = requireMovable(header);
  const { sectorSizeBytes, offsetBytes: shiftBytes } = previous;
  const totalBytes = dataBytes(payload, previous, sectorSizeBytes);
  const unitBytes = totalBytes % PAGE_BYTES === 0 ? PAGE_BYTES : sectorSizeBytes;
  const plan = requirePlan(header, unitBytes, options);
  const { zoneBytes = DEFAULT_ZONE_BYTES } = options;
  const headBytes = requireHeadBytes(plan, Math.min(shiftBytes, totalBytes, zoneBytes));
  const giveback: Giveback = {
    ...plan,
    keyslot: requireFreeId(header, 'keyslots', undefined),
    shiftBytes,
    previous,
    final: { ...previous, type: 'linear', encryption: null, offsetBytes: 0, sectorSizeBytes: 512, flags: [] },
    moved: { ...previous, offsetBytes: 0, sizeBytes: headBytes },
    previousDigest: key.digestId,
    finalDigest: null,
  };
  const parts = givebackPartsOf(givebackBeginning(giveback, totalBytes));
  const begun = withGiveback(withoutPairing(header), giveback, parts);
  return withVerifiedReencryption(
    begun,
    findGiveback(begun)!,
    new Map([[key.digestId, key.volumeKey.bytes]]),
  );
}

/** All bytes of the payload's header, with the metadata of `begun`. */
function imageOf(payload: Device, begun: LuksHeader): Buffer {
  const image = Buffer.alloc(begun.headerSizeBytes);
  payload.readFullyAt(image, 0);
  const { disk } = begun;
  if (disk.version !== 2) return image;
  for (const name of ['primary', 'secondary'] as const) {
    const { offsetBytes, bytes } = planCopy(begun, disk, name, disk.seqid + 1n);
    image.set(bytes, offsetBytes);
  }
  return image;
}

/**
 * Makes the file `headerPath` of the header at the start of `payload`, with the record that the data is to be decrypted to
 * there. Throws BAD_ARGUMENT where the file exists or the header is LUKS1, BAD_PASSPHRASE, UNSUPPORTED, DEVICE_IO.
 */
export async function beginGiveback(
  payload: Device,
  headerPath: string,
  unlock: Unlock,
  options: GivebackOptions = {},
): Promise<void> {
  const header = readHeader(payload);
  requireMovable(header);
  const { volumeKey, digestId } = await requireVolumeKey(payload, header, unlock);
  try {
    const begun = await withBegun(header, payload, { volumeKey, digestId }, options);
    await withHeaderLock(payload, async () => {
      requireUnchanged(payload, header, readHeader(payload));
      writeNewHeaderFile(headerPath, imageOf(payload, begun), header.uuid);
    });
  } finally {
    volumeKey.destroy();
  }
}
