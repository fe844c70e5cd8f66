/**
 * The operations on the file's bytes. Each comment says which system call it is and what it returns.
 */
import { constants } from 'node:fs';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE } from '../native/file.js';
import {
  fuse_fallocate_in,
  fuse_fsync_in,
  fuse_lseek_in,
  fuse_lseek_out,
  fuse_open_in,
  fuse_open_out,
  fuse_read_in,
  fuse_release_in,
  fuse_write_in,
  fuse_write_out,
} from './abi.js';
import { type Context, errno } from './operation.js';
import type { TreeNode } from './plain-file.js';

const { O_RDONLY, O_RDWR, O_WRONLY } = constants;
const O_ACCMODE = O_RDONLY | O_WRONLY | O_RDWR;
/** lseek(2), include/uapi/linux/fs.h */
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/**
 * open(2). Its O_TRUNC, if any, follows as FUSE_SETATTR, and does nothing, as on a block device: the size and the
 * bytes that are not written stay.
 */
export function serveOpen({ frame, tree, policy }: Context, node: TreeNode): number {
  if (node.isDirectory) return -errno.EISDIR;
  const flags = frame.argumentU32(fuse_open_in.flags);
  if ((flags & O_ACCMODE) !== O_RDONLY) tree.requireWritable();
  tree.handles.noteOpener(frame.tid);
  frame.clearBody(fuse_open_out.SIZE);
  frame.setU64(fuse_open_out.fh, tree.syncErrors.open());
  frame.setU32(fuse_open_out.open_flags, policy.openFlags(flags, tree.handles, frame.isResent));
  return fuse_open_out.SIZE;
}

/** The last close(2) of an open file. Where it may have been counted out before, it stays counted in: see OpenHandles. */
export function serveRelease({ frame, tree }: Context): number {
  if (frame.isResent) return 0;
  tree.syncErrors.release(frame.argumentU64(fuse_release_in.fh));
  tree.handles.release();
  return 0;
}

/** read(2), read-ahead, a page fault. Short only at the end. */
export function serveRead({ frame, tree, counters }: Context, node: TreeNode): number {
  if (node.isDirectory) return -errno.EISDIR;
  const sizeBytes = frame.argumentU32(fuse_read_in.size);
  if (sizeBytes > frame.dataBytes) return -errno.EINVAL;
  const count = tree.read(frame.data(sizeBytes), frame.argumentU64(fuse_read_in.offset));
  counters.addRead(count);
  return count;
}

/** write(2), or a dirty page on its way back. ENOSPC at the end; the part before the end where it straddles. */
export function serveWrite({ frame, tree, counters }: Context, node: TreeNode): number {
  if (node.isDirectory) return -errno.EISDIR;
  const sizeBytes = frame.argumentU32(fuse_write_in.size);
  if (frame.argumentBytes !== fuse_write_in.SIZE + sizeBytes) return -errno.EINVAL;
  const offsetBytes = frame.argumentU64(fuse_write_in.offset);
  const count = tree.writableBytes(offsetBytes, sizeBytes);
  if (count > 0) tree.write(frame.data(count), offsetBytes);
  counters.addWrite(count);
  frame.setU32(fuse_write_out.size, count);
  frame.setU32(fuse_write_out.size + 4, 0);
  return fuse_write_out.SIZE;
}

/**
 * fsync(2) and fdatasync(2), which are the same for a file whose metadata is not kept. Also fails for what was lost by
 * an fsync of another since the file was opened.
 */
export function serveFsync({ frame, tree }: Context): number {
  const handle = frame.argumentU64(fuse_fsync_in.fh);
  if (!tree.store.isReadOnly) tree.syncErrors.run(handle, frame.isResent, () => tree.store.sync());
  return 0;
}

/** syncfs(2) */
export function serveSyncfs({ frame, tree }: Context): number {
  if (!tree.store.isReadOnly) tree.syncErrors.run(0, frame.isResent, () => tree.store.sync());
  return 0;
}

/** lseek(2) with SEEK_DATA or SEEK_HOLE; the kernel does the others alone. ENXIO from the end on. */
export function serveLseek({ frame, tree }: Context, node: TreeNode): number {
  if (node.isDirectory) return -errno.EINVAL;
  const whence = frame.argumentU32(fuse_lseek_in.whence);
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return -errno.EINVAL;
  const offsetBytes = tree.seek(frame.argumentU64(fuse_lseek_in.offset), whence === SEEK_HOLE);
  frame.setU64(fuse_lseek_out.offset, offsetBytes);
  return fuse_lseek_out.SIZE;
}

/** What each kind of fallocate(2) asks of the store; whatever is not here is EOPNOTSUPP. */
const FALLOCATE_CALLS: Readonly<Record<number, 'allocate' | 'zeroRange' | 'discard'>> = {
  0: 'allocate',
  [FALLOC_FL_ZERO_RANGE]: 'zeroRange',
  [FALLOC_FL_PUNCH_HOLE]: 'discard',
};

/**
 * fallocate(2). Plain and KEEP_SIZE reserve space in the payload, ZERO_RANGE writes zeros, PUNCH_HOLE discards where
 * the store lets it. What is not supported is EOPNOTSUPP and not ENOSYS, which would end the others as well.
 */
export function serveFallocate({ frame, tree }: Context, node: TreeNode): number {
  if (node.isDirectory) return -errno.EISDIR;
  const offsetBytes = frame.argumentU64(fuse_fallocate_in.offset);
  const lengthBytes = frame.argumentU64(fuse_fallocate_in.length);
  const call = FALLOCATE_CALLS[frame.argumentU32(fuse_fallocate_in.mode) & ~FALLOC_FL_KEEP_SIZE];
  if (call === undefined) return -errno.EOPNOTSUPP;
  if (lengthBytes === 0) return -errno.EINVAL;
  tree.requireInside(offsetBytes, lengthBytes);
  tree.store[call](offsetBytes, lengthBytes);
  if (call !== 'allocate') node.attributes.touch();
  return 0;
}
