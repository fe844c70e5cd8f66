/**
 * Checks a mountpoint before anyone is asked for a key.
 */
import createDebug from 'debug';
import { LuksError } from '../errors.js';
import { unmountFuse } from '../fuse/mount-helper.js';
import { type Mountpoint, requireMountpoint } from '../fuse/mountpoint.js';
import { runProgram } from '../fuse/program.js';
import { ControlClient } from './control.js';
import { canonicalMountpoint, findMount, listMounts } from './mount-table.js';

const debug = createDebug('luksfuse:mount');

/** As long as a daemon may take to greet. */
const ANSWER_MS = 5000;
/** strerror(3) of ENOTCONN and ECONNABORTED */
const DEAD = /Transport endpoint is not connected|Software caused connection abort/;

/**
 * Whatever is asked of a mount whose server is gone is answered so by the kernel. Not asked by this process, which one that
 * only hangs would hold up; and statfs(2), since stat(2) may be answered from what the kernel remembers.
 */
async function isDead(mountpoint: string): Promise<boolean> {
  const args = ['-f', '--', mountpoint];
  const { stderr } = await runProgram('stat', args, { package: 'coreutils', timeoutMs: ANSWER_MS });
  return DEAD.test(stderr);
}

/**
 * A mountpoint that nothing of ours covers yet.
 * @throws LuksError BAD_ARGUMENT where nothing can be mounted on it, BUSY where a daemon serves it, DEVICE_IO where one does
 *   not answer. The mount that a dead daemon left is cleared
 */
export async function requireFreeMountpoint(path: string): Promise<Mountpoint> {
  const mount = findMount(canonicalMountpoint(path));
  if (!mount) return requireMountpoint(path);
  const daemon = await ControlClient.connect(mount);
  daemon?.disconnect();
  if (!daemon && (await isDead(mount.mountpoint))) {
    debug('%s: clearing the mount of a daemon that died', mount.mountpoint);
    await unmountFuse(mount.mountpoint, 'lazy').catch((error: unknown) => {
      // Another command may have cleared it at the same moment.
      if (listMounts().some(({ id }) => id === mount.id)) throw error;
    });
    return requireFreeMountpoint(path);
  }
  const what = daemon ? `, served by process ${daemon.info.pid}` : '';
  throw new LuksError('BUSY', `${path} already holds the mount of ${mount.source}${what}; unmount it first`);
}
