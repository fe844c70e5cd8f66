/**
 * The protocol, bytes to bytes: a request that lies in a frame becomes the answer in the same frame. One row
 * per operation. Needs no kernel, descriptor or thread, and never throws, whatever the bytes are.
 */
import {
  FUSE_ACCESS,
  FUSE_BATCH_FORGET,
  FUSE_CREATE,
  FUSE_DESTROY,
  FUSE_FALLOCATE,
  FUSE_FLUSH,
  FUSE_FORGET,
  FUSE_FSYNC,
  FUSE_FSYNCDIR,
  FUSE_GETATTR,
  FUSE_INIT,
  FUSE_INTERRUPT,
  FUSE_IOCTL,
  FUSE_LINK,
  FUSE_LOOKUP,
  FUSE_LSEEK,
  FUSE_MKDIR,
  FUSE_MKNOD,
  FUSE_NOTIFY_REPLY,
  FUSE_OPEN,
  FUSE_OPENDIR,
  FUSE_READ,
  FUSE_READDIR,
  FUSE_READDIRPLUS,
  FUSE_READLINK,
  FUSE_RELEASE,
  FUSE_RELEASEDIR,
  FUSE_RENAME,
  FUSE_RENAME2,
  FUSE_RMDIR,
  FUSE_SETATTR,
  FUSE_STATFS,
  FUSE_SYMLINK,
  FUSE_SYNCFS,
  FUSE_TMPFILE,
  FUSE_UNLINK,
  FUSE_WRITE,
  fuse_access_in,
  fuse_fallocate_in,
  fuse_flush_in,
  fuse_fsync_in,
  fuse_getattr_in,
  fuse_ioctl_in,
  fuse_lseek_in,
  fuse_open_in,
  fuse_read_in,
  fuse_release_in,
  fuse_setattr_in,
  fuse_syncfs_in,
  fuse_write_in,
} from './abi.js';
import {
  serveFallocate,
  serveFsync,
  serveLseek,
  serveOpen,
  serveRead,
  serveRelease,
  serveSyncfs,
  serveWrite,
} from './file-operations.js';
import { initOperation } from './init-operation.js';
import {
  serveAccess,
  serveGetattr,
  serveLookup,
  serveOpendir,
  serveReaddir,
  serveReaddirplus,
  serveSetattr,
  serveStatfs,
} from './node-operations.js';
import { type Context, errno, NO_REPLY, type Operation, replyErrno } from './operation.js';
import type { TreeNode } from './plain-file.js';

type Serve = Operation['serve'];

const done: Serve = () => 0;
const noReply: Serve = () => NO_REPLY;
const refuse =
  (error: number): Serve =>
  () =>
    -error;
/** The tree has one file and keeps it. */
const refuseChange: Serve = ({ tree }) => {
  tree.requireWritable();
  return -errno.EPERM;
};

const row = (opcode: number, argumentBytes: number, serve: Serve): [number, Operation] => [
  opcode,
  { argumentBytes, serve },
];

/**
 * What is not in this table is ENOSYS, which the kernel remembers for the whole mount and then does not ask
 * again. That is meant for: extended attributes; FUSE_BMAP (swap files); FUSE_POLL (always ready then);
 * FUSE_COPY_FILE_RANGE and its _64 (the kernel copies by reading and writing instead); FUSE_STATX (FUSE_GETATTR
 * is asked); FUSE_GETLK, FUSE_SETLK, FUSE_SETLKW (never sent, the kernel locks); FUSE_SETUPMAPPING,
 * FUSE_REMOVEMAPPING (DAX); FUSE_NOTIFY_REPLY is an answer to what is never asked.
 */
const OPERATIONS: ReadonlyMap<number, Operation> = new Map([
  [FUSE_INIT, initOperation],
  row(FUSE_LOOKUP, 1, serveLookup),
  row(FUSE_GETATTR, fuse_getattr_in.SIZE, serveGetattr),
  row(FUSE_SETATTR, fuse_setattr_in.SIZE, serveSetattr),
  row(FUSE_ACCESS, fuse_access_in.SIZE, serveAccess),
  row(FUSE_STATFS, 0, serveStatfs),
  row(FUSE_OPEN, fuse_open_in.SIZE, serveOpen),
  row(FUSE_READ, fuse_read_in.SIZE, serveRead),
  row(FUSE_WRITE, fuse_write_in.SIZE, serveWrite),
  // close(2): nothing is held back here, so there is no error left to report.
  row(FUSE_FLUSH, fuse_flush_in.SIZE, done),
  row(FUSE_RELEASE, fuse_release_in.SIZE, serveRelease),
  row(FUSE_FSYNC, fuse_fsync_in.SIZE, serveFsync),
  row(FUSE_SYNCFS, fuse_syncfs_in.SIZE, serveSyncfs),
  row(FUSE_FALLOCATE, fuse_fallocate_in.SIZE, serveFallocate),
  row(FUSE_LSEEK, fuse_lseek_in.SIZE, serveLseek),
  // Not ENOSYS: "no such ioctl" is what a program that probes for a block device expects.
  row(FUSE_IOCTL, fuse_ioctl_in.SIZE, refuse(errno.ENOTTY)),
  row(FUSE_OPENDIR, fuse_open_in.SIZE, serveOpendir),
  row(FUSE_READDIR, fuse_read_in.SIZE, serveReaddir),
  row(FUSE_READDIRPLUS, fuse_read_in.SIZE, serveReaddirplus),
  row(FUSE_RELEASEDIR, fuse_release_in.SIZE, done),
  row(FUSE_FSYNCDIR, fuse_fsync_in.SIZE, done),
  row(FUSE_READLINK, 0, refuse(errno.EINVAL)),
  row(FUSE_SYMLINK, 0, refuseChange),
  row(FUSE_MKNOD, 0, refuseChange),
  row(FUSE_MKDIR, 0, refuseChange),
  row(FUSE_UNLINK, 0, refuseChange),
  row(FUSE_RMDIR, 0, refuseChange),
  row(FUSE_RENAME, 0, refuseChange),
  row(FUSE_RENAME2, 0, refuseChange),
  row(FUSE_LINK, 0, refuseChange),
  row(FUSE_CREATE, 0, refuseChange),
  row(FUSE_TMPFILE, 0, refuseChange),
  // Nodes live as long as the mount: lookups are not counted. The protocol has no answer to these two.
  row(FUSE_FORGET, 0, noReply),
  row(FUSE_BATCH_FORGET, 0, noReply),
  row(FUSE_NOTIFY_REPLY, 0, noReply),
  // The request meant is inside a blocking pread or pwrite of another worker and is answered soon; nothing
  // could be stopped, so silence is right. (EAGAIN would have it sent again, fuse_dev_do_write.)
  row(FUSE_INTERRUPT, 0, noReply),
  row(FUSE_DESTROY, 0, done),
]);

/** Opcodes of which the kernel sends no node, or one that is long gone. */
const NODELESS = new Set([
  FUSE_INIT,
  FUSE_DESTROY,
  FUSE_FORGET,
  FUSE_BATCH_FORGET,
  FUSE_INTERRUPT,
  FUSE_NOTIFY_REPLY,
]);

/**
 * What whoever was handed an open file may do with it, even where the tree does not admit that user: as in libfuse
 * with allow_root.
 */
const OPEN_TO_ALL = new Set([
  ...NODELESS,
  FUSE_READ,
  FUSE_WRITE,
  FUSE_FLUSH,
  FUSE_RELEASE,
  FUSE_FSYNC,
  FUSE_LSEEK,
  FUSE_FALLOCATE,
  FUSE_READDIR,
  FUSE_READDIRPLUS,
  FUSE_RELEASEDIR,
  FUSE_FSYNCDIR,
]);

export class Server {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  /**
   * Serves the request of `requestBytes` that was read to the frame's `requestOffset`.
   * Returns the bytes to send from its `replyOffset`; 0 where nothing is to be sent.
   */
  serve(requestBytes: number): number {
    const { frame, counters } = this.#context;
    if (!frame.begin(requestBytes)) return 0;
    const result = this.#dispatch();
    counters.addRequest();
    if (result >= 0) return frame.finish(0, result);
    if (result === NO_REPLY) return 0;
    // A name that is not there and an operation not served are everyday, no sign of trouble.
    if (result !== -errno.ENOENT && result !== -errno.ENOSYS) counters.addError();
    return frame.finish(-result, 0);
  }

  #dispatch(): number {
    const { frame, tree } = this.#context;
    const operation = OPERATIONS.get(frame.opcode);
    if (!operation) return -errno.ENOSYS;
    if (frame.argumentBytes < operation.argumentBytes) return -errno.EINVAL;
    if (!tree.admits(frame.uid) && !OPEN_TO_ALL.has(frame.opcode)) return -errno.EACCES;
    const node: TreeNode | null = NODELESS.has(frame.opcode) ? tree.root : tree.findNode(frame.nodeId);
    if (!node) return -errno.ESTALE;
    try {
      return operation.serve(this.#context, node);
    } catch (error) {
      return -replyErrno(error);
    }
  }
}
