/**
 * `mountVolume`: from paths and a key to a mount that this process serves. The command line goes the same steps, but
 * asks for the key between them and hands the serving to a daemon.
 */
import { type LocateOptions, locateVolume } from '../volume/locate.js';
import { type Unlock, unlockVolume } from '../volume/open.js';
import { chooseDriver, type Driver } from './driver.js';
import type { SessionOptions } from './mount-session.js';
import { requireFreeMountpoint } from './mountpoint.js';
import { type Served, serveVolume } from './serve.js';
import { labelsOf } from './serve-options.js';

type ChosenSessionOptions = Partial<
  Pick<
    SessionOptions,
    'fileName' | 'mode' | 'uid' | 'gid' | 'allowOther' | 'allowRoot' | 'cache' | 'workerCount'
  >
>;

export interface MountVolumeOptions extends LocateOptions, ChosenSessionOptions {
  driver?: Driver | 'auto';
  idleMinutes?: number;
}

/**
 * Mounts the volume on `payloadPath`, which it claims as `openVolume` does, and returns when the mount answers. This
 * process must live until `closed`, which `unmount` brings about; the bytes of `unlock` stay the caller's to wipe.
 * @throws LuksError as openVolume does, and BAD_ARGUMENT, BUSY or UNSUPPORTED for the mountpoint and the driver
 */
export async function mountVolume(
  payloadPath: string,
  mountpointPath: string,
  unlock: Unlock,
  options: MountVolumeOptions = {},
): Promise<Served> {
  const {
    driver: wanted = 'auto',
    idleMinutes,
    headerPath,
    headerDevice,
    isReadOnly,
    window,
    allowNullCipher,
    allowDiscards,
    ...session
  } = options;
  const mountpoint = await requireFreeMountpoint(mountpointPath);
  const driver = await chooseDriver(wanted, mountpoint, { ...session, allowDiscards });
  const located = locateVolume(payloadPath, {
    headerPath,
    headerDevice,
    isReadOnly,
    window,
    allowNullCipher,
    allowDiscards,
  });
  const volume = await unlockVolume(located, unlock);
  return serveVolume(volume, {
    driver,
    session: { ...session, mountpoint: mountpoint.path },
    labels: labelsOf(located),
    ...(idleMinutes !== undefined && { idleMinutes }),
  });
}
