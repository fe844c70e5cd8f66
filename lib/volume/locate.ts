/**
 * Finds the header and the payload of a volume and checks that they can belong together, before anyone is
 * asked for a key. Writes nothing.
 */
import { Device, type ReadableDevice } from '../device.js';
import { LuksError } from '../errors.js';
import { findHeader } from '../format/header.js';
import { type LuksHeader, volumeSegments } from '../format/model.js';
import { requireNotReplaced } from '../format/replaced.js';
import { requireRoomForHeader } from '../format/requirements.js';
import { lockImage } from '../image-lock.js';
import { openHeaderDevice } from './header-device.js';
import { type LayoutOptions, layoutVolume, type VolumeLayout } from './layout.js';

/** A header, decoded and validated, and what it was read from (open, read-only). */
export interface LocatedHeader {
  device: ReadableDevice;
  header: LuksHeader;
}

export interface LocatedVolume extends LocatedHeader {
  payload: Device;
  layout: VolumeLayout;
}

export interface LocateOptions extends LayoutOptions {
  /** The detached header's file or device; without it the header is expected at the payload's start. */
  headerPath?: string | undefined;
  /** The detached header, already open, instead of `headerPath`: it is closed with the volume's. */
  headerDevice?: ReadableDevice | null | undefined;
  isReadOnly?: boolean | undefined;
}

/** Reads the header at the start of what `path` names, claiming nothing. Throws NOT_LUKS where there is none. */
export function locateHeader(path: string): LocatedHeader {
  return locateHeaderOn(openHeaderDevice(path));
}

/** Reads the header at the start of `device`, which is closed where that fails. */
export function locateHeaderOn(device: ReadableDevice): LocatedHeader {
  try {
    const header = findHeader(device);
    if (!header) throw new LuksError('NOT_LUKS', `${device.path} carries no LUKS header`);
    requireNotReplaced(device, header);
    return { device, header };
  } catch (error) {
    device.close();
    throw error;
  }
}

/**
 * Opens header and payload and claims the payload: BUSY where another writes it, or any other uses it and we would
 * write. The caller closes both devices, or hands the payload to `Volume.create`.
 */
export function locateVolume(payloadPath: string, options: LocateOptions): LocatedVolume {
  const device = options.headerDevice ?? (options.headerPath ? openHeaderDevice(options.headerPath) : null);
  const located = device ? locateDetached(device, payloadPath) : locateAttached(payloadPath);
  let payload: Device | null = null;
  try {
    payload = Device.open(payloadPath, { isReadOnly: options.isReadOnly ?? false });
    const layout = layoutVolume(located.header, payload, options);
    lockImage(payload, payload.isReadOnly ? 'reader' : 'writer');
    // A detached header may be shared and may get other keys meanwhile, but must not be replaced.
    if (device instanceof Device) lockImage(device, 'reader');
    return { ...located, payload, layout };
  } catch (error) {
    payload?.close();
    located.device.close();
    throw error;
  }
}

/** `device` is closed where this fails. */
function locateDetached(device: ReadableDevice, payloadPath: string): LocatedHeader {
  try {
    const probe = Device.open(payloadPath, { isReadOnly: true });
    try {
      return { device, header: readDetached(device, probe) };
    } finally {
      probe.close();
    }
  } catch (error) {
    device.close();
    throw error;
  }
}

/** The header on `device`, once it is certain that `payload` is not taken for it or for another volume. */
function readDetached(device: ReadableDevice, payload: Device): LuksHeader {
  const payloadHeader = safelyFindHeader(payload);
  const header = findHeader(device);
  if (!header) {
    const swapped = payloadHeader ? `, but ${payload.path} does; are the two swapped?` : '';
    throw new LuksError('NOT_LUKS', `${device.path} carries no LUKS header${swapped}`);
  }
  requireNotReplaced(device, header);
  if (payloadHeader && firstDataByte(header) < payloadHeader.headerSizeBytes) {
    const isSame = device instanceof Device && device.isSameFile(payload);
    throw new LuksError(
      'BAD_ARGUMENT',
      `payload ${payload.path} ${isSame ? 'is the header itself' : 'carries a LUKS header itself'}, where its ` +
        `data should begin; give the payload that belongs to ${device.path}`,
    );
  }
  return header;
}

function locateAttached(payloadPath: string): LocatedHeader {
  let located: LocatedHeader;
  try {
    located = locateHeader(payloadPath);
  } catch (error) {
    if (!(error instanceof LuksError && error.code === 'NOT_LUKS')) throw error;
    throw new LuksError('NOT_LUKS', `payload ${payloadPath} carries no LUKS header; give --header`);
  }
  try {
    requireRoomForHeader(located.header, payloadPath);
    return located;
  } catch (error) {
    located.device.close();
    throw error;
  }
}

function firstDataByte(header: LuksHeader): number {
  return Math.min(...volumeSegments(header).map((segment) => segment.offsetBytes));
}

/** A damaged header on the payload is none that could be used: the detached one decides. */
function safelyFindHeader(device: Device): LuksHeader | null {
  try {
    return findHeader(device);
  } catch {
    return null;
  }
}
