/**
 * Mounting and unmounting as a user without privileges, by fusermount3(1): a set-user-id program that opens the
 * device as the user, mounts as root, and sends the descriptor back through a socket.
 */
import fs from 'node:fs';
import { type ErrorCode, LuksError } from '../errors.js';
import { koffiLack } from '../native/library.js';
import { canPassDescriptors, createSocketPair, receiveDescriptor } from '../native/socket-pair.js';
import { commonMountFlags, type MountOptions, type Mountpoint, type UnmountManner } from './mountpoint.js';
import { INHERITED_FD, type ProgramResult, runProgram } from './program.js';

const PROGRAM = 'fusermount3';
const PACKAGE = 'fuse3';

/** By the names that Podman knows as well. */
export const CONTAINER_CURE =
  'in a container: docker run --device /dev/fuse --cap-add SYS_ADMIN, with --security-opt apparmor=unconfined under AppArmor';

/** What fusermount3 says, and what it means to the user. In the order of their trying. */
const COMPLAINTS: readonly { pattern: RegExp; code: ErrorCode; message: string }[] = [
  {
    pattern: /user_allow_other/,
    code: 'UNSUPPORTED',
    message:
      'a user may let others in only where /etc/fuse.conf has the line "user_allow_other"; have root add it, or ' +
      'leave out --allow-other and --allow-root',
  },
  {
    pattern: /not owned by user|no write access|failed to open (?!\/dev\/fuse).*Permission denied/,
    code: 'BAD_ARGUMENT',
    message: 'a user mounts only where he may write; take a directory or file of your own',
  },
  {
    pattern: /failed to (access mountpoint|chdir to mountpoint)|bad mount point/,
    code: 'BAD_ARGUMENT',
    message: 'it cannot be reached; take a directory or file of your own',
  },
  {
    pattern: /mounting over filesystem type/,
    code: 'BAD_ARGUMENT',
    message: `${PROGRAM} lets nobody mount on this kind of file system; take a directory elsewhere`,
  },
  {
    pattern: /too many FUSE filesystems/,
    code: 'UNSUPPORTED',
    message: 'there are as many FUSE mounts as "mount_max" in /etc/fuse.conf allows; have root raise it',
  },
  {
    pattern: /Operation not permitted/,
    code: 'UNSUPPORTED',
    message: `${PROGRAM} has no right to mount: it must be set-user-id root (reinstall ${PACKAGE}); ${CONTAINER_CURE}`,
  },
  {
    pattern: /could not determine username/,
    code: 'UNSUPPORTED',
    message: `${PROGRAM} lets only users mount who have a name; add a line for this user id to /etc/passwd`,
  },
  {
    pattern: /\/etc\/mtab/,
    code: 'UNSUPPORTED',
    message: `${PROGRAM} needs /etc/mtab; have root run "ln -s /proc/self/mounts /etc/mtab"`,
  },
];

function mountError(path: string, { status, stderr }: ProgramResult): LuksError {
  const known = COMPLAINTS.find(({ pattern }) => pattern.test(stderr));
  if (known) return new LuksError(known.code, `cannot mount on ${path}: ${known.message}`);
  const reason = stderr || `${PROGRAM} ended with status ${status}`;
  return new LuksError('DEVICE_IO', `cannot mount on ${path}: ${reason}`);
}

/** fusermount3 splits its options at commas, but for those behind a backslash. */
function escapeOption(value: string): string {
  return value.replace(/[\\,]/g, '\\$&');
}

/** Throws UNSUPPORTED where this user's mounts cannot be made this way. */
export function requireFusermount(): void {
  if (canPassDescriptors()) return;
  throw new LuksError(
    'UNSUPPORTED',
    `mounting without root needs the package koffi, which cannot be used here (${koffiLack}); mount as root, or use --driver fuse-native`,
  );
}

/** Mounts, and returns the descriptor of the connection. FUSE_INIT is the first request to be read from it. */
export async function mountByFusermount(mountpoint: Mountpoint, options: MountOptions): Promise<number> {
  requireFusermount();
  const flags = [...commonMountFlags(options), `fsname=${escapeOption(options.source)}`];
  const [own, theirs] = createSocketPair();
  try {
    const result = await runProgram(PROGRAM, ['-o', flags.join(','), '--', mountpoint.path], {
      package: PACKAGE,
      inheritedFd: theirs,
      env: { _FUSE_COMMFD: `${INHERITED_FD}` },
    });
    if (result.status !== 0) throw mountError(mountpoint.path, result);
    const fd = receiveDescriptor(own);
    if (fd === null) throw new LuksError('DEVICE_IO', `${PROGRAM} mounted, but sent no descriptor`);
    return fd;
  } finally {
    fs.closeSync(own);
    fs.closeSync(theirs);
  }
}

const UNMOUNT_FLAGS: Record<UnmountManner, string> = { normal: '-u', lazy: '-uz', abort: '-uz' };

/** What `unmount` of mount-helper does, for a mount of this user. */
export function unmountByFusermount(
  path: string,
  manner: UnmountManner,
  timeoutMs: number,
): Promise<ProgramResult> {
  return runProgram(PROGRAM, [UNMOUNT_FLAGS[manner], '--', path], { package: PACKAGE, timeoutMs });
}
