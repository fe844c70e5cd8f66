/**
 * The FUSE kernel interface, protocol 7.31 to 7.45: numbers and struct layouts with the kernel's own names.
 * Source: include/uapi/linux/fuse.h of Linux 6.18 (BSD-2-Clause). Tables only: no code that reads or
 * writes a request.
 */

export const FUSE_KERNEL_VERSION = 7;
/** The newest minor this file was written from. The kernel uses the smaller of its own and this. */
export const FUSE_KERNEL_MINOR_VERSION = 45;
/** Linux 5.4. Older kernels lack nothing that was tried, but were not tested. */
export const FUSE_OLDEST_MINOR_VERSION = 31;

export const FUSE_ROOT_ID = 1;
export const FUSE_MIN_READ_BUFFER = 8192;

/** enum fuse_opcode */
export const FUSE_LOOKUP = 1;
export const FUSE_FORGET = 2;
export const FUSE_GETATTR = 3;
export const FUSE_SETATTR = 4;
export const FUSE_READLINK = 5;
export const FUSE_SYMLINK = 6;
export const FUSE_MKNOD = 8;
export const FUSE_MKDIR = 9;
export const FUSE_UNLINK = 10;
export const FUSE_RMDIR = 11;
export const FUSE_RENAME = 12;
export const FUSE_LINK = 13;
export const FUSE_OPEN = 14;
export const FUSE_READ = 15;
export const FUSE_WRITE = 16;
export const FUSE_STATFS = 17;
export const FUSE_RELEASE = 18;
export const FUSE_FSYNC = 20;
export const FUSE_SETXATTR = 21;
export const FUSE_GETXATTR = 22;
export const FUSE_LISTXATTR = 23;
export const FUSE_REMOVEXATTR = 24;
export const FUSE_FLUSH = 25;
export const FUSE_INIT = 26;
export const FUSE_OPENDIR = 27;
export const FUSE_READDIR = 28;
export const FUSE_RELEASEDIR = 29;
export const FUSE_FSYNCDIR = 30;
export const FUSE_GETLK = 31;
export const FUSE_SETLK = 32;
export const FUSE_SETLKW = 33;
export const FUSE_ACCESS = 34;
export const FUSE_CREATE = 35;
export const FUSE_INTERRUPT = 36;
export const FUSE_BMAP = 37;
export const FUSE_DESTROY = 38;
export const FUSE_IOCTL = 39;
export const FUSE_POLL = 40;
export const FUSE_NOTIFY_REPLY = 41;
export const FUSE_BATCH_FORGET = 42;
export const FUSE_FALLOCATE = 43;
export const FUSE_READDIRPLUS = 44;
export const FUSE_RENAME2 = 45;
export const FUSE_LSEEK = 46;
export const FUSE_COPY_FILE_RANGE = 47;
export const FUSE_SETUPMAPPING = 48;
export const FUSE_REMOVEMAPPING = 49;
export const FUSE_SYNCFS = 50;
export const FUSE_TMPFILE = 51;
export const FUSE_STATX = 52;
export const FUSE_COPY_FILE_RANGE_64 = 53;

/** When a capability is asked for in the answer to FUSE_INIT. */
export type InitFlagUse = 'always' | 'writeback' | 'never';

export interface InitFlag {
  name: string;
  /** 0 to 31 travel in `flags`, 32 to 63 in `flags2`. */
  bit: number;
  use: InitFlagUse;
}

/** Every capability of FUSE_INIT, and why it is asked for or refused. */
export const INIT_FLAGS: readonly InitFlag[] = [
  // Several reads of one file in flight: read-ahead keeps all workers busy.
  { name: 'FUSE_ASYNC_READ', bit: 0, use: 'always' },
  // Remote locks. Nobody else shares this file: the kernel's own locks are enough.
  { name: 'FUSE_POSIX_LOCKS', bit: 1, use: 'never' },
  // "Not yet supported", says fuse.h, since 2.6.
  { name: 'FUSE_FILE_OPS', bit: 2, use: 'never' },
  // The kernel would take a truncated size of 0 for granted with each O_TRUNC open: it drops the page cache, with
  // what a shared mapping has not written back yet, and whoever reads through a mapping meanwhile gets SIGBUS
  // (fuse_truncate_update_attr). Without it O_TRUNC comes as FUSE_SETATTR, which is told from truncate(2) by
  // the FUSE_OPEN before it (OpenHandles).
  { name: 'FUSE_ATOMIC_O_TRUNC', bit: 3, use: 'never' },
  // Node ids never change, so `.` and `..` are easily looked up: NFS export, open_by_handle_at(2).
  { name: 'FUSE_EXPORT_SUPPORT', bit: 4, use: 'always' },
  // Writes of more than a page.
  { name: 'FUSE_BIG_WRITES', bit: 5, use: 'always' },
  // Nothing is ever created.
  { name: 'FUSE_DONT_MASK', bit: 6, use: 'never' },
  // splice(2) moves pages without showing them to us, but they have to be ciphered.
  { name: 'FUSE_SPLICE_WRITE', bit: 7, use: 'never' },
  { name: 'FUSE_SPLICE_MOVE', bit: 8, use: 'never' },
  { name: 'FUSE_SPLICE_READ', bit: 9, use: 'never' },
  { name: 'FUSE_FLOCK_LOCKS', bit: 10, use: 'never' },
  // No ioctl is served.
  { name: 'FUSE_HAS_IOCTL_DIR', bit: 11, use: 'never' },
  // Would drop the page cache whenever mtime moves; every change comes through this mount, so it never has to.
  { name: 'FUSE_AUTO_INVAL_DATA', bit: 12, use: 'never' },
  // `ls -l` in one request.
  { name: 'FUSE_DO_READDIRPLUS', bit: 13, use: 'always' },
  { name: 'FUSE_READDIRPLUS_AUTO', bit: 14, use: 'always' },
  // libaio and io_uring with O_DIRECT stay asynchronous: queue depth reaches the workers.
  { name: 'FUSE_ASYNC_DIO', bit: 15, use: 'always' },
  // Only on request. The kernel would take writes past the end into its cache, let i_size grow and not
  // believe ours, and acknowledge write(2) before the payload has the bytes.
  { name: 'FUSE_WRITEBACK_CACHE', bit: 16, use: 'writeback' },
  // Opens must be seen: read-only, O_TRUNC, O_DIRECT.
  { name: 'FUSE_NO_OPEN_SUPPORT', bit: 17, use: 'never' },
  { name: 'FUSE_PARALLEL_DIROPS', bit: 18, use: 'always' },
  // Superseded by V2.
  { name: 'FUSE_HANDLE_KILLPRIV', bit: 19, use: 'never' },
  { name: 'FUSE_POSIX_ACL', bit: 20, use: 'never' },
  // An aborted connection reads ECONNABORTED, so it is not mistaken for an unmount (ENODEV).
  { name: 'FUSE_ABORT_ERROR', bit: 21, use: 'always' },
  // Requests of 1 MiB instead of 128 KiB.
  { name: 'FUSE_MAX_PAGES', bit: 22, use: 'always' },
  // There are no symlinks.
  { name: 'FUSE_CACHE_SYMLINKS', bit: 23, use: 'never' },
  // Costs one message per opendir, which carries the leave to cache the entries.
  { name: 'FUSE_NO_OPENDIR_SUPPORT', bit: 24, use: 'never' },
  // Cached pages never go wrong on their own: the kernel need not drop any because a time or size looks changed.
  { name: 'FUSE_EXPLICIT_INVAL_DATA', bit: 25, use: 'always' },
  // DAX needs the plaintext in a device's memory.
  { name: 'FUSE_MAP_ALIGNMENT', bit: 26, use: 'never' },
  { name: 'FUSE_SUBMOUNTS', bit: 27, use: 'never' },
  // suid and sgid are never stored (NodeAttributes), so there is nothing to kill, and the kernel need not
  // look for them before each write.
  { name: 'FUSE_HANDLE_KILLPRIV_V2', bit: 28, use: 'always' },
  // No extended attributes.
  { name: 'FUSE_SETXATTR_EXT', bit: 29, use: 'never' },
  // flags2 counts only with this.
  { name: 'FUSE_INIT_EXT', bit: 30, use: 'always' },
  { name: 'FUSE_INIT_RESERVED', bit: 31, use: 'never' },
  { name: 'FUSE_SECURITY_CTX', bit: 32, use: 'never' },
  { name: 'FUSE_HAS_INODE_DAX', bit: 33, use: 'never' },
  { name: 'FUSE_CREATE_SUPP_GROUP', bit: 34, use: 'never' },
  { name: 'FUSE_HAS_EXPIRE_ONLY', bit: 35, use: 'never' },
  // MAP_SHARED also where an open bypasses the page cache, kept coherent by the kernel.
  { name: 'FUSE_DIRECT_IO_ALLOW_MMAP', bit: 36, use: 'always' },
  // Reads past us to another file: that one holds ciphertext.
  { name: 'FUSE_PASSTHROUGH', bit: 37, use: 'never' },
  { name: 'FUSE_NO_EXPORT_SUPPORT', bit: 38, use: 'never' },
  // A server that takes over from a dead one gets what that left unanswered once more (Linux 6.9).
  { name: 'FUSE_HAS_RESEND', bit: 39, use: 'always' },
  { name: 'FUSE_ALLOW_IDMAP', bit: 40, use: 'never' },
  // Needs io_uring from JS.
  { name: 'FUSE_OVER_IO_URING', bit: 41, use: 'never' },
  // Would abort the mount for a payload that is slow (NFS, a spun-down disk).
  { name: 'FUSE_REQUEST_TIMEOUT', bit: 42, use: 'never' },
];

/** enum fuse_notify_code: what a server sends of its own accord, in the place of an error, with `unique` 0. */
export const FUSE_NOTIFY_RESEND = 7;

/** ioctl(2) of a fresh /dev/fuse: joins the connection of another descriptor. The ABIs of MIPS and PowerPC number apart. */
export const FUSE_DEV_IOC_CLONE = /^(mips|ppc)/.test(process.arch) ? 0x4004e500 : 0x8004e500;

/** fuse_open_out.open_flags */
export const FOPEN_DIRECT_IO = 1 << 0;
export const FOPEN_KEEP_CACHE = 1 << 1;
export const FOPEN_CACHE_DIR = 1 << 3;
export const FOPEN_PARALLEL_DIRECT_WRITES = 1 << 6;

/** fuse_setattr_in.valid */
export const FATTR_MODE = 1 << 0;
export const FATTR_UID = 1 << 1;
export const FATTR_GID = 1 << 2;
export const FATTR_SIZE = 1 << 3;
export const FATTR_ATIME = 1 << 4;
export const FATTR_MTIME = 1 << 5;
export const FATTR_FH = 1 << 6;
export const FATTR_ATIME_NOW = 1 << 7;
export const FATTR_MTIME_NOW = 1 << 8;
export const FATTR_CTIME = 1 << 10;

/** `SIZE` is sizeof(struct); the other members are byte offsets in it. */
export const fuse_in_header = {
  len: 0,
  opcode: 4,
  unique: 8,
  nodeid: 16,
  uid: 24,
  gid: 28,
  pid: 32,
  total_extlen: 36,
  SIZE: 40,
} as const;

export const fuse_out_header = { len: 0, error: 4, unique: 8, SIZE: 16 } as const;

export const fuse_attr = {
  ino: 0,
  size: 8,
  blocks: 16,
  atime: 24,
  mtime: 32,
  ctime: 40,
  atimensec: 48,
  mtimensec: 52,
  ctimensec: 56,
  mode: 60,
  nlink: 64,
  uid: 68,
  gid: 72,
  rdev: 76,
  blksize: 80,
  flags: 84,
  SIZE: 88,
} as const;

export const fuse_entry_out = {
  nodeid: 0,
  generation: 8,
  entry_valid: 16,
  attr_valid: 24,
  entry_valid_nsec: 32,
  attr_valid_nsec: 36,
  attr: 40,
  SIZE: 128,
} as const;

export const fuse_attr_out = { attr_valid: 0, attr_valid_nsec: 8, attr: 16, SIZE: 104 } as const;

export const fuse_getattr_in = { getattr_flags: 0, fh: 8, SIZE: 16 } as const;

export const fuse_setattr_in = {
  valid: 0,
  fh: 8,
  size: 16,
  lock_owner: 24,
  atime: 32,
  mtime: 40,
  ctime: 48,
  atimensec: 56,
  mtimensec: 60,
  ctimensec: 64,
  mode: 68,
  uid: 76,
  gid: 80,
  SIZE: 88,
} as const;

export const fuse_open_in = { flags: 0, open_flags: 4, SIZE: 8 } as const;
export const fuse_open_out = { fh: 0, open_flags: 8, SIZE: 16 } as const;
export const fuse_release_in = { fh: 0, flags: 8, release_flags: 12, lock_owner: 16, SIZE: 24 } as const;
export const fuse_flush_in = { fh: 0, lock_owner: 16, SIZE: 24 } as const;

export const fuse_read_in = {
  fh: 0,
  offset: 8,
  size: 16,
  read_flags: 20,
  lock_owner: 24,
  flags: 32,
  SIZE: 40,
} as const;

export const fuse_write_in = {
  fh: 0,
  offset: 8,
  size: 16,
  write_flags: 20,
  lock_owner: 24,
  flags: 32,
  SIZE: 40,
} as const;

export const fuse_write_out = { size: 0, SIZE: 8 } as const;

export const fuse_statfs_out = {
  blocks: 0,
  bfree: 8,
  bavail: 16,
  files: 24,
  ffree: 32,
  bsize: 40,
  namelen: 44,
  frsize: 48,
  SIZE: 80,
} as const;

export const fuse_fsync_in = { fh: 0, fsync_flags: 8, SIZE: 16 } as const;
export const fuse_access_in = { mask: 0, SIZE: 8 } as const;

/** Minor 36 made it 64 bytes; the first 16 are in every version. */
export const fuse_init_in = {
  major: 0,
  minor: 4,
  max_readahead: 8,
  flags: 12,
  SIZE: 16,
  flags2: 16,
} as const;

export const fuse_init_out = {
  major: 0,
  minor: 4,
  max_readahead: 8,
  flags: 12,
  max_background: 16,
  congestion_threshold: 18,
  max_write: 20,
  time_gran: 24,
  max_pages: 28,
  map_alignment: 30,
  flags2: 32,
  SIZE: 64,
} as const;

export const fuse_fallocate_in = { fh: 0, offset: 8, length: 16, mode: 24, SIZE: 32 } as const;
export const fuse_lseek_in = { fh: 0, offset: 8, whence: 16, SIZE: 24 } as const;
export const fuse_lseek_out = { offset: 0, SIZE: 8 } as const;
export const fuse_ioctl_in = {
  fh: 0,
  flags: 8,
  cmd: 12,
  arg: 16,
  in_size: 24,
  out_size: 28,
  SIZE: 32,
} as const;
export const fuse_syncfs_in = { SIZE: 8 } as const;

/** The name follows; a record is padded to a multiple of 8 bytes (FUSE_DIRENT_ALIGN). */
export const fuse_dirent = { ino: 0, off: 8, namelen: 16, type: 20, name: 24 } as const;
/** A fuse_entry_out, then a fuse_dirent. */
export const fuse_direntplus = { entry_out: 0, dirent: 128 } as const;
