/**
 * The head of the data takes the place of the header, which has left the payload for a file of its own. Before anything of
 * the header on the payload is destroyed, it is certain that the file has all of it; and nothing on the payload can be
 * taken for a header any more before the head is copied over it, or whoever opens it by what is left would mend the rest.
 */
import type { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { changeHeader } from '../format/change.js';
import { findReadableHeader, readHeader } from '../format/header.js';
import { HDR_SIZES_BYTES, hasMagic, MAGIC_BYTES } from '../format/luks2-binary.js';
import type { LuksHeader } from '../format/model.js';
import { type Giveback, isUnmoved, withMovedHead } from '../format/reencryption-giveback.js';
import { planMetadata } from '../format/write.js';
import { copyWithin } from './copy-within.js';

/** The header's bytes behind both copies of its metadata. */
function readMaterial(device: Device, { disk, headerSizeBytes }: LuksHeader): Buffer {
  const startBytes = disk.version === 2 ? 2 * disk.hdrSizeBytes : 0;
  const material = Buffer.alloc(headerSizeBytes - startBytes);
  device.readFullyAt(material, startBytes);
  return material;
}

/** True where the header in the file was made of the one that is still on the payload, and of no earlier form of it. */
function isMadeOf(device: Device, header: LuksHeader, payload: Device, there: LuksHeader): boolean {
  if (header.disk.version !== 2 || there.disk.version !== 2) return false;
  return (
    header.disk.seqid === there.disk.seqid + 1n &&
    header.headerSizeBytes === there.headerSizeBytes &&
    readMaterial(device, header).equals(readMaterial(payload, there))
  );
}

/** The header that the payload still has, which is the one in the file; null where it has none. Throws BAD_ARGUMENT. */
function findOwnHeader(device: Device, header: LuksHeader, payload: Device): LuksHeader | null {
  const there = findReadableHeader(payload);
  if (!there || isMadeOf(device, header, payload, there)) return there;
  throw new LuksError(
    'BAD_ARGUMENT',
    there.uuid === header.uuid
      ? `the header of ${payload.path} was changed since ${device.path} was made of it, and nothing of it was given up ` +
          `yet; remove ${device.path} and begin again`
      : `${payload.path} carries the header of another volume; give the payload that ${device.path} belongs to`,
  );
}

/**
 * All of them: that of an earlier, larger header would be found too. That of the copy which counts goes last: an older one
 * must not be taken, after a cut, for a header that was changed.
 */
function clearMagics(payload: Device, there: LuksHeader | null, endBytes: number): void {
  const lastBytes = there?.disk.version === 2 ? there.disk[there.disk.copyRead].offsetBytes : 0;
  const others = [0, ...HDR_SIZES_BYTES].filter((each) => each < endBytes && each !== lastBytes);
  for (const offsetBytes of [...others, lastBytes]) {
    const start = Buffer.alloc(MAGIC_BYTES);
    payload.readFullyAt(start, offsetBytes);
    if (!hasMagic(start, offsetBytes === 0 ? 'primary' : 'secondary')) continue;
    payload.writeAt(Buffer.alloc(MAGIC_BYTES), offsetBytes);
    payload.sync();
  }
}

/**
 * Puts the head where the record of `giveback` on `device` says that it is, whatever of that a cut has left; nothing where
 * it is known to be there. Throws BAD_ARGUMENT, BUSY, DEVICE_IO.
 */
export async function moveHead(device: Device, payload: Device, giveback: Giveback): Promise<void> {
  const header = readHeader(device);
  if (!isUnmoved(header)) return;
  clearMagics(payload, findOwnHeader(device, header, payload), giveback.shiftBytes);
  copyWithin(payload, giveback.shiftBytes, 0, giveback.moved.sizeBytes as number);
  await changeHeader(device, (now) => ({
    steps: planMetadata(now, withMovedHead(now)),
    result: undefined,
  }));
}
