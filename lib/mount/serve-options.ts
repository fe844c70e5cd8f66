/**
 * What is asked of whoever serves a mount. Plain data: it crosses to the daemon.
 */
import path from 'node:path';
import { Device } from '../device.js';
import type { LocatedVolume } from '../volume/locate.js';
import type { Driver } from './driver.js';
import type { MountSettings } from './mount-session.js';

/** What a mount tells of its volume, beyond what the volume knows itself. */
export interface VolumeLabels {
  payload: string;
  header: string;
  uuid: string;
}

/** The daemon runs in another directory than the command: paths are made absolute. */
export function labelsOf({ payload, device, header }: LocatedVolume): VolumeLabels {
  return {
    payload: path.resolve(payload.path),
    header: device instanceof Device ? path.resolve(device.path) : device.path,
    uuid: header.uuid,
  };
}

export interface ServeOptions {
  driver: Driver;
  session: MountSettings;
  labels: VolumeLabels;
  /** Written when the mount answers, removed at its end. */
  pidFile?: string;
  /** Unmount after so long without a request. */
  idleMinutes?: number;
  /** Of a daemon: that it is to be replaced where it dies, if that is possible here. */
  isSupervised?: boolean;
}
