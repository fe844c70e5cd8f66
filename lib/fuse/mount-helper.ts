/**
 * Mounting and unmounting: as root by mount(8) and umount(8), which need no native code and keep utab right; as a
 * user by fusermount3(1). Knows paths and mount options, nothing of the protocol.
 */
import fs from 'node:fs';
import { isSystemError, LuksError } from '../errors.js';
import { canPassDescriptors } from '../native/socket-pair.js';
import { FUSE_DEVICE_PATH } from './channel.js';
import { CONTAINER_CURE, mountByFusermount, requireFusermount, unmountByFusermount } from './fusermount.js';
import { commonMountFlags, type MountOptions, type Mountpoint, type UnmountManner } from './mountpoint.js';
import { INHERITED_FD, LIMIT_MS, type ProgramResult, runProgram } from './program.js';

const PACKAGE = 'mount';
/** include/uapi/linux/capability.h */
const CAP_SYS_ADMIN = 21n;

function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/** Opens /dev/fuse. Throws UNSUPPORTED with the cure where the machine has none, or not for this user. */
function openFuseDevice(): number {
  try {
    return fs.openSync(FUSE_DEVICE_PATH, 'r+');
  } catch (cause) {
    const code = isSystemError(cause) ? cause.code : '';
    const cure =
      code === 'EACCES' || code === 'EPERM'
        ? `have root let every user in (chmod 666 ${FUSE_DEVICE_PATH}, as packaged systems do)`
        : 'load the module with "modprobe fuse", or install fuse3';
    const message = `cannot open ${FUSE_DEVICE_PATH}: ${(cause as Error).message}; ${cure}; ${CONTAINER_CURE}`;
    throw new LuksError('UNSUPPORTED', message, { cause });
  }
}

/** True where the kernel's protocol can be spoken by this user, if only /dev/fuse lets him in. */
export function hasDevFuse(): boolean {
  return isRoot() || canPassDescriptors();
}

/** Root in a container may lack what mount(2) asks for; fusermount3 would get no more than root has (capabilities(7)). */
function mayMount(): boolean {
  const [, effective] = /^CapEff:\s*([0-9a-f]+)$/m.exec(fs.readFileSync('/proc/self/status', 'ascii')) ?? [];
  return effective === undefined || ((BigInt(`0x${effective}`) >> CAP_SYS_ADMIN) & 1n) === 1n;
}

function forbidden(why: string): LuksError {
  return new LuksError('UNSUPPORTED', `root may not mount here: ${why}; ${CONTAINER_CURE}`);
}

/** Throws UNSUPPORTED, naming the cure, where this user of this machine cannot mount. */
export function requireFuse(): void {
  fs.closeSync(openFuseDevice());
  if (!isRoot()) requireFusermount();
  else if (!mayMount()) throw forbidden('the capability CAP_SYS_ADMIN is missing');
}

async function mountAsRoot(mountpoint: Mountpoint, options: MountOptions): Promise<number> {
  const fd = openFuseDevice();
  try {
    const flags = [
      `fd=${INHERITED_FD}`,
      `rootmode=${mountpoint.isDirectory ? '40000' : '100000'}`,
      `user_id=${process.getuid?.() ?? 0}`,
      `group_id=${process.getgid?.() ?? 0}`,
      ...commonMountFlags(options),
    ];
    const args = ['-i', '-t', 'fuse', '-o', flags.join(','), '--', options.source, mountpoint.path];
    const { status, stderr } = await runProgram('mount', args, { package: PACKAGE, inheritedFd: fd });
    if (status === 0) return fd;
    if (/permission denied|not permitted/i.test(stderr)) throw forbidden(stderr);
    const reason = stderr || `mount(8) ended with status ${status}`;
    throw new LuksError('DEVICE_IO', `cannot mount on ${mountpoint.path}: ${reason}`);
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

/** Mounts, and returns the descriptor of the connection. FUSE_INIT is the first request to be read from it. */
export async function mountFuse(mountpoint: Mountpoint, options: MountOptions): Promise<number> {
  if (isRoot()) return mountAsRoot(mountpoint, options);
  requireFuse();
  return mountByFusermount(mountpoint, options);
}

const UNMOUNT_FLAGS: Record<UnmountManner, string[]> = { normal: [], lazy: ['-l'], abort: ['-f', '-l'] };

function unmountAsRoot(path: string, manner: UnmountManner, timeoutMs: number): Promise<ProgramResult> {
  // Not canonicalized (-c): looking at the path would wait for a server that may no longer answer.
  const args = ['-i', '-c', ...UNMOUNT_FLAGS[manner], '--', path];
  return runProgram('umount', args, { package: PACKAGE, timeoutMs });
}

/**
 * Unmounts what is mounted at `path`, which must be as `requireMountpoint` gave it.
 * @param timeoutMs DEVICE_IO after that: the kernel may wait for a server that does not answer
 */
export async function unmountFuse(path: string, manner: UnmountManner, timeoutMs = LIMIT_MS): Promise<void> {
  const unmount = isRoot() ? unmountAsRoot : unmountByFusermount;
  const { status, stderr } = await unmount(path, manner, timeoutMs);
  if (status === 0) return;
  if (/busy/.test(stderr)) {
    throw new LuksError(
      'BUSY',
      `cannot unmount ${path}: a file of it is in use ("fuser -vm ${path}" says by whom)`,
    );
  }
  // fusermount3 looks only for mounts of the user who calls it.
  if (/not found in/.test(stderr)) {
    throw new LuksError(
      'BAD_ARGUMENT',
      `cannot unmount ${path}: another user mounted it; let that user, or root`,
    );
  }
  throw new LuksError('DEVICE_IO', `cannot unmount ${path}: ${stderr || `it ended with status ${status}`}`);
}
