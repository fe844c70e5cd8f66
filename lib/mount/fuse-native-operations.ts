/**
 * The file operations as libfuse's high-level interface asks for them, by path, served on the main thread from the
 * same tree as the kernel's own protocol. What is missing here, libfuse or the kernel does alone: open and close,
 * access (default_permissions), lseek, extended attributes; fallocate cannot be reached through fuse-native.
 */
import { constants } from 'node:os';
import type { Operations, Stat } from 'fuse-native';
import { systemError } from '../errors.js';
import type { Counters } from '../fuse/counters.js';
import { NodeAttributes, type Timestamp } from '../fuse/node-attributes.js';
import { IO_SIZE_BYTES, NAME_MAX, STAT_BLOCK_BYTES } from '../fuse/node-operations.js';
import { replyErrno } from '../fuse/operation.js';
import type { PlainFile, TreeNode } from '../fuse/plain-file.js';

const { S_IFDIR, S_IFREG } = { S_IFDIR: 0o040000, S_IFREG: 0o100000 };
const { errno } = constants;
/** chown(2) with -1 leaves the owner as it is. */
const UNCHANGED_ID = 0xffff_ffff;
/** statfs counts blocks in a word of 32 bits. */
const MAX_BLOCK_COUNT = 2 ** 32 - 1;

/** fuse-native's times are milliseconds, and none before 1970. */
function toMs({ seconds, nanoseconds }: Timestamp): number {
  return Math.max(0, seconds * 1000 + Math.floor(nanoseconds / 1e6));
}

/** A time before 1970 comes as a number that would be negative if it were signed; there is none on the way back. */
function fromMs(unsignedMs: number): Timestamp {
  const ms = unsignedMs < 2 ** 63 ? unsignedMs : 0;
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanoseconds: (ms - seconds * 1000) * 1e6 };
}

function describeNode(tree: PlainFile, { id, isDirectory, attributes }: TreeNode): Stat {
  const size = isDirectory ? 0 : tree.store.sizeBytes;
  return {
    mode: (isDirectory ? S_IFDIR : S_IFREG) | attributes.mode,
    uid: attributes.uid,
    gid: attributes.gid,
    size,
    nlink: isDirectory ? 2 : 1,
    ino: id,
    blksize: IO_SIZE_BYTES,
    blocks: Math.ceil(size / STAT_BLOCK_BYTES),
    atime: toMs(attributes.atime),
    mtime: toMs(attributes.mtime),
    ctime: toMs(attributes.ctime),
  };
}

function describeFileSystem({ store }: PlainFile) {
  let frsize = STAT_BLOCK_BYTES;
  while (store.sizeBytes / frsize > MAX_BLOCK_COUNT) frsize *= 2;
  const blocks = Math.ceil(store.sizeBytes / frsize);
  return { bsize: IO_SIZE_BYTES, frsize, blocks, files: 2, namemax: NAME_MAX };
}

/**
 * @param buffer of the largest request, which the store reads into and writes from without a copy of its own
 */
export function createOperations(tree: PlainFile, counters: Counters, buffer: Uint8Array): Operations {
  /** Runs `work` and answers with what it returns, or with the errno of what it throws. */
  const serve = (done: (result: number) => void, work: () => number | undefined): void => {
    counters.addRequest();
    let result: number;
    try {
      result = work() ?? 0;
    } catch (error) {
      result = -replyErrno(error);
      if (result !== -errno.ENOENT) counters.addError();
    }
    done(result);
  };
  /** The same for an answer that is more than a number. */
  const describe = <T>(done: (error: number, answer?: T) => void, work: () => T): void => {
    let answer: T | undefined;
    serve(
      (error) => (answer === undefined ? done(error) : done(0, answer)),
      () => {
        answer = work();
        return 0;
      },
    );
  };
  const requireNode = (path: string): TreeNode => {
    const node = path === '/' ? tree.root : tree.findChild(tree.root, path.slice(1));
    if (!node) throw systemError('ENOENT', 'lookup');
    return node;
  };
  const change = (path: string, work: (attributes: NodeAttributes) => void): undefined => {
    tree.requireWritable();
    const { attributes } = requireNode(path);
    work(attributes);
    attributes.ctime = NodeAttributes.now();
  };
  const requireSize = (sizeBytes: number): undefined => {
    tree.requireWritable();
    if (sizeBytes !== tree.store.sizeBytes) throw systemError('EINVAL', 'truncate');
  };
  /** The tree has one file and keeps it. */
  const refuseChange = (...args: unknown[]): void => {
    serve(args.at(-1) as (error: number) => void, () => {
      tree.requireWritable();
      throw systemError('EPERM', 'change');
    });
  };
  return {
    getattr: (path, done) => describe(done, () => describeNode(tree, requireNode(path))),
    readdir: (_path, done) => describe(done, () => ['.', '..', tree.fileName!]),
    statfs: (_path, done) => describe(done, () => describeFileSystem(tree)),
    chmod: (path, mode, done) => serve(done, () => change(path, (attributes) => (attributes.mode = mode))),
    chown: (path, uid, gid, done) =>
      serve(done, () =>
        change(path, (attributes) => {
          if (uid !== UNCHANGED_ID) attributes.uid = uid;
          if (gid !== UNCHANGED_ID) attributes.gid = gid;
        }),
      ),
    utimens: (path, atime, mtime, done) =>
      serve(done, () =>
        change(path, (attributes) => {
          attributes.atime = fromMs(atime);
          attributes.mtime = fromMs(mtime);
        }),
      ),
    // The O_TRUNC of an open(2) looks just like truncate(2) to 0 here: both do nothing, as O_TRUNC has to.
    truncate: (_path, size, done) =>
      serve(done, () => (size === 0 ? tree.requireWritable() : requireSize(size)) ?? 0),
    ftruncate: (_path, _fd, size, done) => serve(done, () => requireSize(size)),
    read: (_path, _fd, target, length, offset, done) =>
      serve(done, () => {
        const count = tree.read(buffer.subarray(0, length), offset);
        target.set(buffer.subarray(0, count));
        counters.addRead(count);
        return count;
      }),
    write: (_path, _fd, source, length, offset, done) =>
      serve(done, () => {
        const count = tree.writableBytes(offset, length);
        const data = buffer.subarray(0, count);
        data.set(source.subarray(0, count));
        if (count > 0) tree.write(data, offset);
        counters.addWrite(count);
        return count;
      }),
    // Whoever asks is told of an error, and no other: opening is libfuse's, so nobody knows here who else there is.
    fsync: (_path, _isData, _fd, done) =>
      serve(done, () => {
        if (!tree.store.isReadOnly) tree.store.sync();
        return 0;
      }),
    create: refuseChange,
    mknod: refuseChange,
    mkdir: refuseChange,
    symlink: refuseChange,
    link: refuseChange,
    rename: refuseChange,
    unlink: refuseChange,
    rmdir: refuseChange,
  };
}
