/**
 * The drivers, and which of them can serve on this machine.
 */
import { LuksError } from '../errors.js';
import { hasDevFuse, requireFuse } from '../fuse/mount-helper.js';
import type { Mountpoint } from '../fuse/mountpoint.js';
import { canDiscard } from '../native/file.js';
import { koffiLack } from '../native/library.js';
import {
  type DriverDemands,
  requireFuseNative,
  requireNativeOptions,
  startNativeSession,
} from './fuse-native.js';
import { type MountSession, requireWorkerCount, type SessionOptions } from './mount-session.js';
import { startSession } from './session.js';

export const DRIVERS = ['dev-fuse', 'fuse-native'] as const;
export type Driver = (typeof DRIVERS)[number];

function requireDiscards({ allowDiscards }: DriverDemands): void {
  if (!allowDiscards || canDiscard) return;
  throw new LuksError(
    'UNSUPPORTED',
    `discards need the package koffi, which cannot be used here (${koffiLack}); leave --allow-discards out`,
  );
}

/**
 * The driver that was asked for, or with `auto` the faster one that can work here. Checks all that can be checked before
 * a key is asked for.
 * @throws LuksError UNSUPPORTED where it cannot work here, with the cure; BAD_ARGUMENT where it cannot do what is asked
 */
export async function chooseDriver(
  wanted: Driver | 'auto',
  mountpoint: Mountpoint,
  options: DriverDemands,
): Promise<Driver> {
  requireWorkerCount(options.workerCount);
  if (wanted === 'dev-fuse' || (wanted === 'auto' && hasDevFuse())) {
    requireFuse();
    requireDiscards(options);
    return 'dev-fuse';
  }
  try {
    requireNativeOptions(mountpoint, options);
    await requireFuseNative();
    return 'fuse-native';
  } catch (error) {
    // Who did not ask for this driver is told what the other one lacks.
    if (wanted === 'auto') requireFuse();
    throw error;
  }
}

const START: Record<Driver, (options: SessionOptions) => Promise<MountSession>> = {
  'dev-fuse': startSession,
  'fuse-native': startNativeSession,
};

/** Mounts and serves with the driver that `chooseDriver` has chosen. */
export function startDriver(driver: Driver, options: SessionOptions): Promise<MountSession> {
  return START[driver](options);
}
