/**
 * What a mount has around it as long as it lives, whoever serves it: the control socket, the pid file, the watch for
 * idleness, the word to a service manager.
 */
import fs from 'node:fs';
import { type ControlHandlers, ControlServer } from './control.js';
import { unmountWhenIdle } from './idle.js';
import { notifyReady } from './notify.js';
import type { ServeOptions } from './serve-options.js';

export interface Attended extends ControlHandlers {
  readonly mountpoint: string;
  /** The number by which the kernel knows the mount. */
  readonly connection: number;
  /** Resolves when the mount is gone and the payload closed, with what went wrong. */
  readonly ended: Promise<Error | undefined>;
  unmount(): Promise<unknown>;
}

/** Not through a link: in a directory of others, theirs might lead to a file of ours. */
function writePidFile(path: string): void {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = fs.constants;
  const fd = fs.openSync(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o644);
  try {
    fs.writeSync(fd, `${process.pid}\n`);
  } catch (error) {
    fs.rmSync(path, { force: true });
    throw error;
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Returns when the mount can be found; where it throws, nothing of all this is left. The promise in it settles when all of
 * it is gone, as `ended` did.
 */
export async function attend(mount: Attended, options: ServeOptions): Promise<{ closed: Promise<void> }> {
  const { pidFile, idleMinutes } = options;
  if (pidFile) writePidFile(pidFile);
  const removePidFile = () => pidFile && fs.rmSync(pidFile, { force: true });
  const control = await ControlServer.listen(mount.connection, mount).catch((error) => {
    removePidFile();
    throw error;
  });
  const stopWatch = idleMinutes ? unmountWhenIdle(mount, idleMinutes) : () => {};
  await notifyReady(`${options.labels.payload} on ${mount.mountpoint}`);
  const close = async () => {
    const error = await mount.ended;
    stopWatch();
    removePidFile();
    await control.close(error);
    if (error) throw error;
  };
  return { closed: close() };
}
