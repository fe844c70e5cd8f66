/**
 * The volume of a mount on which a reencryption is to go on: what its header says now decides, for much may have happened
 * since it was mounted. It may even be done.
 */
import fs from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { keepKey, type VolumeKeys } from '../crypto/secret.js';
import { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { readHeader } from '../format/header.js';
import type { ReencryptionMode } from '../format/reencryption.js';
import { layoutVolume, type VolumeLayout } from './layout.js';
import { type OnlineOrder, OnlineReencryption } from './online.js';
import { findShiftedSides } from './under-way.js';
import { Volume } from './volume.js';

/** What the mount has of its volume. */
export interface MountedParts {
  payload: Device;
  /** As it was when the volume was mounted. */
  layout: VolumeLayout;
  /** A descriptor of the header, and where it was found. */
  header: { fd: number; path: string };
}

export interface OnlineVolume {
  volume: Volume;
  /** Null where all is done. */
  online: OnlineReencryption | null;
}

/** The header for writing, the payload's own device where it is attached: the one that is claimed, not what is there now. */
function openClaimedHeader({ payload, header: { fd, path } }: MountedParts): Device {
  const isBlockDevice = fs.fstatSync(fd).isBlockDevice();
  const claimed = Device.adopt({ fd, path, sizeBytes: 0, isBlockDevice, isReadOnly: true });
  if (claimed.isSameFile(payload)) return payload;
  const device = Device.open(path, { isReadOnly: false, isShared: true });
  if (device.isSameFile(claimed)) return device;
  device.close();
  throw new LuksError('BAD_ARGUMENT', `${path} is not the header any more that the volume was mounted with`);
}

function layoutNow(device: Device, { payload, layout: mounted }: MountedParts): VolumeLayout {
  return layoutVolume(readHeader(device), payload, {
    window: { offsetBytes: mounted.windowOffsetBytes, sizeBytes: mounted.sizeBytes },
    allowNullCipher: true, // as was said when it was mounted
    allowPlaintext: true,
    allowDiscards: mounted.allowsDiscards,
  });
}

/**
 * For whoever is to write to a volume and was told of no reencryption. Throws BUSY where the header, as far as it is still
 * to be had, says by now that some of the payload has another form than when it was mounted.
 */
export function requireAsMounted(parts: MountedParts): void {
  let device: Device;
  try {
    device = openClaimedHeader(parts);
  } catch (error) {
    if (error instanceof LuksError) return; // kept elsewhere once the volume is open, as a detached one may be
    throw error;
  }
  try {
    if (isDeepStrictEqual(layoutNow(device, parts).segments, parts.layout.segments)) return;
  } finally {
    if (device !== parts.payload) device.close();
  }
  throw new LuksError('BUSY', 'the volume is being reencrypted, and this server was told nothing of it');
}

/** The digest of the key that a finished volume takes; null where it is plaintext now. */
export function digestOfVolume({ handle }: Volume): number | null {
  return handle.layout.segments[0]!.digest;
}

function movesItsData(mode: ReencryptionMode): LuksError {
  return new LuksError(
    'UNSUPPORTED',
    `the data is moved, which cannot go on while it is used; unmount the volume, and: luksfuse ${mode} --resume-only`,
  );
}

/** Takes over payload and keys for the volume. See `OnlineReencryption.open`. */
export async function openOnline(
  parts: MountedParts,
  keys: VolumeKeys,
  order: OnlineOrder,
  onDone: (digest: number | null) => void,
): Promise<OnlineVolume> {
  const { payload } = parts;
  const device = openClaimedHeader(parts);
  const header = readHeader(device);
  const layout = layoutNow(device, parts);
  if (layout.reencryption) {
    if (findShiftedSides(header)) throw movesItsData(layout.reencryption.mode);
    const target = { device, payload, keys };
    const online = await OnlineReencryption.open(target, layout, header.uuid, order, onDone);
    return { volume: online.volume, online };
  }
  if (device !== payload) device.close();
  const { digest } = layout.segments[0]!;
  return { volume: Volume.create(payload, layout, keepKey(keys, digest)), online: null };
}
