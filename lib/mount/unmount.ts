/**
 * Unmounts, and returns only when the daemon has synced and closed the payload.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { unmountFuse } from '../fuse/mount-helper.js';
import { LIMIT_MS, runProgram } from '../fuse/program.js';
import { isClaimed } from '../image-lock.js';
import { forgetAttachments, listAttachments } from './attachments.js';
import { ControlClient } from './control.js';
import { type MountEntry, requireMount } from './mount-table.js';

/** How long storage may take for what a mount has written. */
const CLOSING_MS = LIMIT_MS;
/** How long the kernel may take for a mount whose daemon does not answer. */
const UNANSWERED_MS = 10_000;
const LOOK_MS = 100;

/**
 * Dirty pages of a shared mapping would be written back by the unmount itself, which reports no error: so they
 * are written, and synced, before it, where the error still has a caller. By another process: where storage hangs, a
 * thread of this one would keep it from ending.
 */
async function syncFile(path: string): Promise<void> {
  const { status, stderr } = await runProgram('sync', ['--', path], {
    package: 'coreutils',
    timeoutMs: CLOSING_MS,
  });
  // A file of another user's (--uid): this one has no mapping of it, and the daemon syncs in any case.
  if (status === 0 || /Permission denied$/.test(stderr)) return;
  throw new LuksError('DEVICE_IO', `${path} could not be synced, and stays mounted: ${stderr}`);
}

/** Who it is that keeps a mount busy, where it may be a VM that the file was handed to. */
function nameVms(error: unknown, mountpoint: string): unknown {
  const attachments = listAttachments(mountpoint);
  if (attachments.length === 0 || !(error instanceof LuksError) || error.code !== 'BUSY') return error;
  const vms = attachments.map(({ id, monitor }) => `as ${id} to the VM at ${monitor.address}`).join(' and ');
  const cure = `take it out first: luksfuse detach ${mountpoint}`;
  return new LuksError('BUSY', `${error.message}; it is attached ${vms}; ${cure}`, { cause: error });
}

/**
 * For a mount that nobody could be asked about: whoever serves it has a claim on the payload until that is closed. Returns
 * why it was not waited for; null where it was.
 */
async function waitForClaim(mount: MountEntry): Promise<string | null> {
  const unknown = (why: string) =>
    `nobody answers for ${mount.mountpoint}, and whether ${mount.source} is closed is not known: ${why}`;
  let payload: Device;
  try {
    payload = Device.open(mount.source, { isReadOnly: true });
  } catch (error) {
    return unknown((error as Error).message);
  }
  try {
    for (const end = Date.now() + CLOSING_MS; isClaimed(payload); await delay(LOOK_MS)) {
      if (Date.now() > end) return unknown('it is still in use');
    }
    return null;
  } finally {
    payload.close();
  }
}

/** Null where nobody listens; the error where somebody does, and does not answer. */
async function findDaemon(mount: MountEntry): Promise<ControlClient | LuksError | null> {
  try {
    return await ControlClient.connect(mount);
  } catch (error) {
    if (error instanceof LuksError) return error;
    throw error;
  }
}

export interface UnmountOptions {
  /** Take the mount out of the tree now; the daemon ends when the last user closes the file. Does not wait. */
  lazy?: boolean;
}

/**
 * Unmounts what luksfuse mounted on `path`; the mount of a dead daemon is cleared too. Returns what could not be waited
 * for, for people; null where the payload is closed, or nobody was to wait.
 * @throws LuksError BUSY while the file is in use, BAD_ARGUMENT where nothing of ours is mounted, DEVICE_IO where
 *   the payload could not be synced, or its daemon does not answer; it is unmounted then all the same
 */
export async function unmountVolume(
  path: string,
  { lazy = false }: UnmountOptions = {},
): Promise<string | null> {
  const mount = requireMount(path);
  const { mountpoint } = mount;
  if (lazy) {
    // After this the VM goes on with the file, and is still to be detached.
    await unmountFuse(mountpoint, 'lazy');
    return null;
  }
  const found = await findDaemon(mount);
  const daemon = found instanceof LuksError ? null : found;
  try {
    if (daemon && !daemon.info.isReadOnly) {
      await syncFile(mountpoint + daemon.info.file.slice(daemon.info.mountpoint.length));
    }
    await unmountFuse(mountpoint, 'normal', daemon ? CLOSING_MS : UNANSWERED_MS).catch((error: unknown) => {
      throw nameVms(error, mountpoint);
    });
    forgetAttachments(mountpoint);
    if (daemon) {
      await daemon.waitUntilClosed(CLOSING_MS);
      return null;
    }
  } finally {
    daemon?.disconnect();
  }
  if (found instanceof LuksError) {
    const message = `${mountpoint} is unmounted, but whether ${mount.source} is closed is not known: ${found.message}`;
    throw new LuksError('DEVICE_IO', message, { cause: found });
  }
  return waitForClaim(mount);
}
