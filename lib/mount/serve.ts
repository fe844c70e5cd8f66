/**
 * Serves an unlocked volume on a mountpoint until it is unmounted: the session that speaks FUSE, and the control
 * socket. The same for a daemon, for --foreground and for the library.
 */
import fs from 'node:fs';
import path from 'node:path';
import { Device } from '../device.js';
import type { LocatedVolume } from '../volume/locate.js';
import type { Volume } from '../volume/volume.js';
import { ControlServer, type MountInfo } from './control.js';
import { type Driver, startDriver } from './driver.js';
import { unmountWhenIdle } from './idle.js';
import type { MountSession, SessionOptions } from './mount-session.js';
import { notifyReady } from './notify.js';

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

/** Plain data: it crosses to the daemon. */
export interface ServeOptions {
  driver: Driver;
  session: Omit<SessionOptions, 'store' | 'storeModule' | 'storeHandle' | 'source'>;
  labels: VolumeLabels;
  /** Written when the mount answers, removed at its end. */
  pidFile?: string;
  /** Unmount after so long without a request. */
  idleMinutes?: number;
}

export interface Served {
  info: MountInfo;
  /** Resolves when the payload is synced and closed and the key wiped; rejects with what went wrong with that. */
  closed: Promise<void>;
  /** Asks the kernel to unmount and waits for `closed`, unless lazy. Throws BUSY while a program uses the file. */
  unmount(options?: { lazy?: boolean }): Promise<void>;
}

function describeMount(volume: Volume, session: MountSession, { driver, labels }: ServeOptions): MountInfo {
  const { sizeBytes, isReadOnly, sectorSize, engine, handle } = volume;
  return {
    pid: process.pid,
    mountpoint: session.mountpoint,
    file: session.filePath,
    ...labels,
    cipher: handle.layout.segments[0]!.encryption,
    allowsDiscards: handle.layout.allowsDiscards && !isReadOnly && driver === 'dev-fuse',
    ...{ sectorSize, sizeBytes, isReadOnly, driver, engine },
    activity: session.activity(),
  };
}

/** Returns when the mount answers. Takes the volume over: it is closed when the mount is gone, or could not be. */
export async function serveVolume(volume: Volume, options: ServeOptions): Promise<Served> {
  let session: MountSession | null = null;
  try {
    session = await startDriver(options.driver, {
      ...options.session,
      source: options.labels.payload,
      store: volume,
      storeModule: new URL('./volume-store.js', import.meta.url).href,
      storeHandle: volume.handle,
    });
    return await attend(volume, session, options);
  } catch (error) {
    await session?.unmount({ lazy: true });
    await session?.closed;
    volume.close();
    throw error;
  }
}

/** What a mount has around it as long as it lives. */
async function attend(volume: Volume, session: MountSession, options: ServeOptions): Promise<Served> {
  const { pidFile, idleMinutes } = options;
  const describe = () => describeMount(volume, session, options);
  if (pidFile) fs.writeFileSync(pidFile, `${process.pid}\n`);
  const control = await ControlServer.listen(describe);
  const stopWatch = idleMinutes ? unmountWhenIdle(session, idleMinutes) : () => {};
  await notifyReady(`${options.labels.payload} on ${session.mountpoint}`);
  const closed = session.closed.then((end) => {
    stopWatch();
    if (pidFile) fs.rmSync(pidFile, { force: true });
    return finish(volume, control, end.error);
  });
  const unmount: Served['unmount'] = async (how) => {
    await session.unmount(how);
    if (!how?.lazy) await closed;
  };
  return { info: describe(), closed, unmount };
}

/** Closes the volume, tells whoever waits for it how that went, and throws the first error. */
async function finish(
  volume: Volume,
  control: ControlServer,
  sessionError: Error | undefined,
): Promise<void> {
  let error: unknown = sessionError;
  try {
    volume.close();
  } catch (closeError) {
    error ??= closeError;
  }
  await control.close(error);
  if (error) throw error;
}
