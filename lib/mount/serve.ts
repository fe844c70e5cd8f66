/**
 * Serves an unlocked volume on a mountpoint until it is unmounted: the session that speaks FUSE, and what is around it.
 * The same for a daemon that nobody supervises, for --foreground and for the library.
 */
import { LuksError } from '../errors.js';
import type { VolumeLayout } from '../volume/layout.js';
import { findLoss } from '../volume/lost-data.js';
import type { OnlineProgress } from '../volume/online.js';
import type { Volume } from '../volume/volume.js';
import { attend } from './attend.js';
import type { MountInfo } from './control.js';
import { startDriver } from './driver.js';
import type { MountSession, SessionOptions } from './mount-session.js';
import type { ServeOptions } from './serve-options.js';
import { listWarnings } from './warnings.js';

export interface Served {
  info: MountInfo;
  /** Resolves when the payload is synced and closed and the key wiped; rejects with what went wrong with that. */
  closed: Promise<void>;
  /** Asks the kernel to unmount and waits for `closed`, unless lazy. Throws BUSY while a program uses the file. */
  unmount(options?: { lazy?: boolean }): Promise<void>;
}

/** Of the form that the volume is in, or is getting. */
function cipherOf({ segments }: VolumeLayout): string {
  return segments.find(({ encryption }) => encryption !== null)?.encryption ?? 'none';
}

/** How far a reencryption is that was begun before this mount, and does not go on. */
function pausedReencryption({ reencryption }: VolumeLayout): OnlineProgress | null {
  if (!reencryption) return null;
  const { mode, doneBytes, totalBytes } = reencryption;
  return {
    ...{ mode, doneBytes, totalBytes, state: 'paused' },
    ...{ bytesPerSecond: null, secondsLeft: null, error: null },
  };
}

/** The mount as this process serves it. */
export function describeMount(
  volume: Volume,
  session: MountSession,
  options: ServeOptions,
  reencryption = pausedReencryption(volume.handle.layout),
): MountInfo {
  const { driver, labels } = options;
  const { sizeBytes, isReadOnly, sectorSize, engine, handle } = volume;
  const loss = findLoss(handle.layout);
  return {
    pid: process.pid,
    supervisorPid: null,
    mountpoint: session.mountpoint,
    file: session.filePath,
    ...labels,
    cipher: cipherOf(handle.layout),
    allowsDiscards: handle.layout.allowsDiscards && !isReadOnly && driver === 'dev-fuse',
    ...{ sectorSize, sizeBytes, isReadOnly, driver, engine },
    reencryption,
    activity: session.activity(),
    warnings: [...(loss === null ? [] : [loss]), ...listWarnings(session, options)],
  };
}

/** What the driver is to mount. */
export function sessionOptions(volume: Volume, options: ServeOptions): SessionOptions {
  return {
    ...options.session,
    source: options.labels.payload,
    store: volume,
    storeModule: new URL('./volume-store.js', import.meta.url).href,
    storeHandle: volume.handle,
  };
}

/** Returns when the mount answers. Takes the volume over: it is closed when the mount is gone, or could not be. */
export async function serveVolume(volume: Volume, options: ServeOptions): Promise<Served> {
  let session: MountSession | null = null;
  try {
    session = await startDriver(options.driver, sessionOptions(volume, options));
    const ended = closeVolumeAfter(volume, session);
    const serving = session;
    return await attendSession(session, ended, () => describeMount(volume, serving, options), options);
  } catch (error) {
    await session?.unmount({ lazy: true });
    await session?.closed;
    volume.close();
    throw error;
  }
}

/** For a session that this process serves with nobody behind it. `ended` is that of `closeVolumeAfter`. */
export async function attendSession(
  session: MountSession,
  ended: Promise<Error | undefined>,
  describe: () => MountInfo,
  options: ServeOptions,
): Promise<Served> {
  const why = options.driver === 'dev-fuse' ? 'nobody supervises it' : 'fuse-native cannot hand it over';
  const attended = {
    ...{ mountpoint: session.mountpoint, connection: session.connection },
    ended,
    describe: async () => describe(),
    unmount: () => session.unmount(),
    upgrade: async () => {
      throw new LuksError('UNSUPPORTED', `${session.mountpoint} must be unmounted to be upgraded: ${why}`);
    },
    reencrypt: async () => {
      throw new LuksError('UNSUPPORTED', `${session.mountpoint} must be unmounted to be reencrypted: ${why}`);
    },
  };
  const { closed } = await attend(attended, options);
  const unmount: Served['unmount'] = async (how) => {
    await session.unmount(how);
    if (!how?.lazy) await closed;
  };
  return { info: describe(), closed, unmount };
}

/**
 * Closes the volume when the mount is gone; returns the first error of it all.
 * @param before done between the two
 */
export async function closeVolumeAfter(
  volume: Volume,
  session: MountSession,
  before: () => Promise<void> = async () => {},
): Promise<Error | undefined> {
  const { error } = await session.closed;
  await before();
  try {
    volume.close();
  } catch (closeError) {
    return error ?? (closeError as Error);
  }
  return error;
}
