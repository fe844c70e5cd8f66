/**
 * The operations on names and attributes. Each comment says which system call it is and what it returns.
 */
import {
  FATTR_ATIME,
  FATTR_ATIME_NOW,
  FATTR_CTIME,
  FATTR_FH,
  FATTR_GID,
  FATTR_MODE,
  FATTR_MTIME,
  FATTR_MTIME_NOW,
  FATTR_SIZE,
  FATTR_UID,
  FOPEN_CACHE_DIR,
  FOPEN_KEEP_CACHE,
  fuse_access_in,
  fuse_attr,
  fuse_attr_out,
  fuse_dirent,
  fuse_direntplus,
  fuse_entry_out,
  fuse_open_out,
  fuse_read_in,
  fuse_setattr_in,
  fuse_statfs_out,
} from './abi.js';
import { NodeAttributes } from './node-attributes.js';
import { type Context, errno } from './operation.js';
import type { TreeNode } from './plain-file.js';

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const DT_DIR = 4;
const DT_REG = 8;
const W_OK = 2;
export const NAME_MAX = 255;
/** st_blocks counts these, whatever st_blksize is. */
export const STAT_BLOCK_BYTES = 512;
/** st_blksize: what cp and dd-like programs read at a time. coreutils uses 128 KiB at least, stdio all of it. */
export const IO_SIZE_BYTES = 128 * 1024;
/** Directory entries `.`, `..` and the file. */
const ENTRY_COUNT = 3;

function encodeAttr({ frame, tree }: Context, offset: number, node: TreeNode): void {
  const { attributes } = node;
  const sizeBytes = node.isDirectory ? 0 : tree.store.sizeBytes;
  const { atime, mtime, ctime } = attributes;
  frame.setU64(offset + fuse_attr.ino, node.id);
  frame.setU64(offset + fuse_attr.size, sizeBytes);
  frame.setU64(offset + fuse_attr.blocks, Math.ceil(sizeBytes / STAT_BLOCK_BYTES));
  frame.setU64(offset + fuse_attr.atime, atime.seconds);
  frame.setU64(offset + fuse_attr.mtime, mtime.seconds);
  frame.setU64(offset + fuse_attr.ctime, ctime.seconds);
  frame.setU32(offset + fuse_attr.atimensec, atime.nanoseconds);
  frame.setU32(offset + fuse_attr.mtimensec, mtime.nanoseconds);
  frame.setU32(offset + fuse_attr.ctimensec, ctime.nanoseconds);
  frame.setU32(offset + fuse_attr.mode, (node.isDirectory ? S_IFDIR : S_IFREG) | attributes.mode);
  frame.setU32(offset + fuse_attr.nlink, node.isDirectory ? 2 : 1);
  frame.setU32(offset + fuse_attr.uid, attributes.uid);
  frame.setU32(offset + fuse_attr.gid, attributes.gid);
  frame.setU32(offset + fuse_attr.blksize, IO_SIZE_BYTES);
}

function encodeEntry(context: Context, offset: number, node: TreeNode): void {
  const { frame, policy } = context;
  frame.setU64(offset + fuse_entry_out.nodeid, node.id);
  frame.setU64(offset + fuse_entry_out.entry_valid, policy.validSeconds);
  frame.setU64(offset + fuse_entry_out.attr_valid, policy.validSeconds);
  encodeAttr(context, offset + fuse_entry_out.attr, node);
}

/** A path walk. Names other than the file's do not exist; unlink, mkdir and so on never get past this. */
export function serveLookup(context: Context, parent: TreeNode): number {
  const name = context.frame.argumentName(0);
  if (name === null) return -errno.EINVAL;
  const node = context.tree.findChild(parent, name);
  if (!node) return -errno.ENOENT;
  context.frame.clearBody(fuse_entry_out.SIZE);
  encodeEntry(context, 0, node);
  return fuse_entry_out.SIZE;
}

/** stat(2), and whenever the kernel no longer trusts what it remembers. */
export function serveGetattr(context: Context, node: TreeNode): number {
  const { frame, policy } = context;
  frame.clearBody(fuse_attr_out.SIZE);
  frame.setU64(fuse_attr_out.attr_valid, policy.validSeconds);
  encodeAttr(context, fuse_attr_out.attr, node);
  return fuse_attr_out.SIZE;
}

/**
 * truncate(2) and ftruncate(2): only to the size the file has. The O_TRUNC of an open(2) comes as size 0 without a
 * handle, from the thread whose FUSE_OPEN was just answered; the kernel takes the true size from the answer then
 * (fuse_do_setattr) and drops nothing. One that is resent may have used the note of that open up already.
 */
function isSizeAllowed({ frame, tree }: Context, node: TreeNode, valid: number): boolean {
  if (node.isDirectory) return false;
  const sizeBytes = frame.argumentU64(fuse_setattr_in.size);
  if (sizeBytes === tree.store.sizeBytes) return true;
  if (sizeBytes !== 0 || (valid & FATTR_FH) !== 0) return false;
  return tree.handles.takeOpener(frame.tid) || frame.isResent;
}

/** chmod(2), chown(2), utimensat(2), truncate(2). The kernel has checked who may (default_permissions). */
export function serveSetattr(context: Context, node: TreeNode): number {
  const { frame, tree } = context;
  const { attributes } = node;
  tree.requireWritable();
  const valid = frame.argumentU32(fuse_setattr_in.valid);
  if (valid & FATTR_SIZE && !isSizeAllowed(context, node, valid)) return -errno.EINVAL;
  const time = (secondsAt: number, nanosecondsAt: number) => ({
    seconds: frame.argumentI64(secondsAt),
    nanoseconds: frame.argumentU32(nanosecondsAt),
  });
  const now = NodeAttributes.now();
  if (valid & FATTR_MODE) attributes.mode = frame.argumentU32(fuse_setattr_in.mode);
  if (valid & FATTR_UID) attributes.uid = frame.argumentU32(fuse_setattr_in.uid);
  if (valid & FATTR_GID) attributes.gid = frame.argumentU32(fuse_setattr_in.gid);
  if (valid & FATTR_ATIME_NOW) attributes.atime = now;
  else if (valid & FATTR_ATIME) attributes.atime = time(fuse_setattr_in.atime, fuse_setattr_in.atimensec);
  if (valid & FATTR_MTIME_NOW) attributes.mtime = now;
  else if (valid & FATTR_MTIME) attributes.mtime = time(fuse_setattr_in.mtime, fuse_setattr_in.mtimensec);
  attributes.ctime = valid & FATTR_CTIME ? time(fuse_setattr_in.ctime, fuse_setattr_in.ctimensec) : now;
  return serveGetattr(context, node);
}

/** access(2): with default_permissions the kernel answers it alone, but for a mount that is read-only. */
export function serveAccess({ frame, tree }: Context): number {
  if (frame.argumentU32(fuse_access_in.mask) & W_OK) tree.requireWritable();
  return 0;
}

/** opendir(3). The entries never change: the kernel may keep them. */
export function serveOpendir({ frame }: Context, node: TreeNode): number {
  if (!node.isDirectory) return -errno.ENOTDIR;
  frame.clearBody(fuse_open_out.SIZE);
  frame.setU32(fuse_open_out.open_flags, FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE);
  return fuse_open_out.SIZE;
}

/** getdents64(2). The cookie of an entry is the index of the next one. */
function serveDirectory(context: Context, node: TreeNode, withAttributes: boolean): number {
  const { frame, tree } = context;
  if (!node.isDirectory) return -errno.ENOTDIR;
  const firstIndex = frame.argumentU64(fuse_read_in.offset);
  const roomBytes = Math.min(frame.argumentU32(fuse_read_in.size), frame.dataBytes);
  let used = 0;
  for (let index = firstIndex; index < ENTRY_COUNT; index++) {
    const name = ['.', '..', tree.fileName ?? ''][index]!;
    const entry = index < 2 ? tree.root : tree.file;
    const start = withAttributes ? used + fuse_direntplus.dirent : used;
    const nameBytes = Buffer.byteLength(name);
    const end = Math.ceil((start + fuse_dirent.name + nameBytes) / 8) * 8;
    if (end > roomBytes) break;
    frame.memory.fill(0, frame.bodyOffset + used, frame.bodyOffset + end);
    // `.` and `..` get no entry: the kernel would count a lookup for each (fuse_direntplus_link).
    if (withAttributes && index >= 2) encodeEntry(context, used, entry);
    frame.setU64(start + fuse_dirent.ino, entry.id);
    frame.setU64(start + fuse_dirent.off, index + 1);
    frame.setU32(start + fuse_dirent.namelen, nameBytes);
    frame.setU32(start + fuse_dirent.type, entry.isDirectory ? DT_DIR : DT_REG);
    frame.setText(start + fuse_dirent.name, name);
    used = end;
  }
  return used;
}

export function serveReaddir(context: Context, node: TreeNode): number {
  return serveDirectory(context, node, false);
}

export function serveReaddirplus(context: Context, node: TreeNode): number {
  return serveDirectory(context, node, true);
}

/** statfs(2): a full file system of the file's size. */
export function serveStatfs({ frame, tree }: Context): number {
  frame.clearBody(fuse_statfs_out.SIZE);
  frame.setU64(fuse_statfs_out.blocks, Math.ceil(tree.store.sizeBytes / STAT_BLOCK_BYTES));
  frame.setU64(fuse_statfs_out.files, tree.root === tree.file ? 1 : 2);
  frame.setU32(fuse_statfs_out.bsize, IO_SIZE_BYTES);
  frame.setU32(fuse_statfs_out.frsize, STAT_BLOCK_BYTES);
  frame.setU32(fuse_statfs_out.namelen, NAME_MAX);
  return fuse_statfs_out.SIZE;
}
