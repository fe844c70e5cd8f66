/**
 * `luksfuse reencrypt --online`: the volume of a mount is reencrypted by its daemon, while it is in use.
 */
import { destroyKeys } from '../crypto/secret.js';
import { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { readHeader } from '../format/header.js';
import type { MountInfo } from '../mount/control.js';
import { requireMountInfo } from '../mount/list.js';
import { orderReencryption } from '../mount/reencrypt.js';
import type { OnlineOrder } from '../volume/online.js';
import { type ReencryptOptions, recordReencryption } from '../volume/reencrypt-begin.js';
import { unlockReencryption } from '../volume/reencrypt-open.js';
import { confirm } from './ask.js';
import { withKey } from './credential.js';
import { announce } from './output.js';
import type { ReencryptCommandOptions } from './reencrypt-options.js';
import type { Devices } from './reencrypt-run.js';

export interface OnlineOptions extends ReencryptCommandOptions {
  online?: boolean;
  pause?: boolean;
  maxSpeed?: number;
}

/** Throws BAD_ARGUMENT for what a mount decides, or what makes no sense without one. */
export function checkOnlineOptions(options: OnlineOptions): void {
  const refuse = (message: string) => {
    throw new LuksError('BAD_ARGUMENT', message);
  };
  if (!options.online) {
    if (options.pause || options.maxSpeed !== undefined) refuse('--pause and --max-speed go with --online');
    return;
  }
  if (options.header !== undefined) refuse('the mount knows its header; leave --header out');
  if (options.initOnly) refuse('--init-only is for a volume that is not mounted; leave it, or --online, out');
  if (options.resilience === 'none') {
    refuse('a volume in use is only reencrypted with protection; leave --resilience none out');
  }
  if (options.maxSpeed === 0) refuse('--max-speed 0 would be for ever; stop it by --pause');
  if (options.pause && options.resumeOnly) refuse('--pause and --resume-only exclude each other; give one');
}

function orderOf({ hotzoneSize, maxSpeed, pause }: OnlineOptions): OnlineOrder {
  return {
    isPaused: pause ?? false,
    ...(hotzoneSize !== undefined && { zoneBytes: hotzoneSize }),
    ...(maxSpeed !== undefined && { bytesPerSecond: maxSpeed }),
  };
}

/** The header for writing and the payload for its size, both of which the mount has claimed. */
async function withMountedDevices<T>(info: MountInfo, use: (devices: Devices) => Promise<T>): Promise<T> {
  const payload = Device.open(info.payload, { isReadOnly: true });
  try {
    const device = Device.open(info.header, { isReadOnly: false, isShared: true });
    try {
      return await use({ device, payload });
    } finally {
      device.close();
    }
  } finally {
    payload.close();
  }
}

function requireSupervised(info: MountInfo): void {
  if (info.isReadOnly) throw new LuksError('BAD_ARGUMENT', `${info.mountpoint} is mounted read-only`);
  if (info.supervisorPid !== null) return;
  throw new LuksError(
    'UNSUPPORTED',
    `${info.mountpoint} is not supervised, and only a supervised mount can be reencrypted; unmount it first`,
  );
}

/** Unless it has begun before: the record in the header, then its keys for the mount, which does the rest. */
function begin(
  info: MountInfo,
  how: ReencryptOptions,
  order: OnlineOrder,
  options: OnlineOptions,
): Promise<MountInfo> {
  return withMountedDevices(info, async ({ device, payload }) => {
    const located = { device, header: readHeader(device) };
    return withKey(located, options, async (unlock) => {
      if (!options.resumeOnly) await recordReencryption(device, payload, unlock, how);
      const { keys } = await unlockReencryption(device, readHeader(device), payload, unlock);
      try {
        return await orderReencryption(info.mountpoint, order, keys);
      } finally {
        destroyKeys(keys);
      }
    });
  });
}

/** @param how for one that is to begin */
export async function reencryptOnline(
  mountpoint: string,
  how: ReencryptOptions,
  options: OnlineOptions,
): Promise<void> {
  const info = await requireMountInfo(mountpoint);
  requireSupervised(info);
  const order = orderOf(options);
  const isKnown = info.reencryption !== null;
  if (options.pause && !isKnown) throw new LuksError('BAD_ARGUMENT', `nothing is under way on ${mountpoint}`);
  if (isKnown && !options.pause && !options.resumeOnly) {
    throw new LuksError(
      'BAD_ARGUMENT',
      `a reencryption is under way on ${mountpoint}; go on with it by --resume-only, or stop it by --pause`,
    );
  }
  if (!isKnown) confirm(`All of ${info.payload} will be rewritten in place`, options);
  const now = isKnown
    ? await orderReencryption(mountpoint, order, null)
    : await begin(info, how, order, options);
  if (options.json) announce(JSON.stringify(now));
  else if (options.pause)
    announce(`Paused; go on with: luksfuse reencrypt --online --resume-only ${mountpoint}`);
  else announce(`Under way; see how far it is with: luksfuse status ${mountpoint}`);
}
