import fs from 'node:fs';
import { constants } from 'node:os';
import fc from 'fast-check';
import t from 'tap';
import { LuksError, systemError } from '../../../lib/errors.js';
import * as abi from '../../../lib/fuse/abi.js';
import { Burst } from '../../../lib/fuse/burst.js';
import { CachePolicy } from '../../../lib/fuse/cache-policy.js';
import { Counters } from '../../../lib/fuse/counters.js';
import { MAX_WRITE_BYTES, serveInit } from '../../../lib/fuse/init-operation.js';
import { type Field, Harness, MAX_WRITE, STORE_BYTES } from './request.js';

const { errno } = constants;
const ROOT = 1n;
const FILE = 2n;
const { O_RDONLY, O_WRONLY, O_RDWR, O_DIRECT } = fs.constants;

/** fuse_read_in and fuse_write_in: fh offset size flags lock_owner flags padding */
const io = (offset: bigint, size: number): Field[] => [0n, offset, size, 0, 0n, 0, 0];
/** fuse_setattr_in, all but `valid` and what is given being 0. */
function setattr(
  valid: number,
  given: { size?: bigint; mtime?: bigint; mode?: number; uid?: number } = {},
): Field[] {
  const { size = 0n, mtime = 0n, mode = 0, uid = 0 } = given;
  return [valid, 0, 0n, size, 0n, 0n, mtime, 0n, 0, 5, 0, mode, 0, uid, 77, 0];
}

t.test('FUSE_INIT', (t) => {
  /** fuse_init_in: major minor max_readahead flags flags2 unused[11] */
  const init = (major: number, minor: number, flags = 0xffff_ffff, flags2 = 0xffff_ffff): Field[] => [
    ...[major, minor, 131_072, flags, flags2],
    Buffer.alloc(44),
  ];
  const bit = (name: string) => abi.INIT_FLAGS.find((flag) => flag.name === name)!.bit;
  const has = (body: Buffer, name: string) =>
    (body.readUInt32LE(bit(name) < 32 ? 12 : 32) >>> (bit(name) % 32)) & 1;

  const { body, error, unique } = new Harness().send(abi.FUSE_INIT, 0n, ...init(7, 45))!;
  t.equal(error, 0);
  t.equal(unique, 0x4000_0000_1234_5679n);
  t.equal(body.length, 64);
  t.same([body.readUInt32LE(0), body.readUInt32LE(4)], [7, 45]);
  t.equal(body.readUInt32LE(8), 131_072, 'no more read-ahead than the kernel offers');
  t.same([body.readUInt16LE(16), body.readUInt16LE(18)], [256, 192], 'max_background, congestion_threshold');
  t.equal(body.readUInt32LE(20), 1024 * 1024, 'max_write');
  t.equal(body.readUInt16LE(28), 256, 'max_pages');
  for (const { name, use } of abi.INIT_FLAGS) {
    t.equal(has(body, name), use === 'always' ? 1 : 0, name);
  }

  const writeback = new Harness({ cache: 'writeback' }).send(abi.FUSE_INIT, 0n, ...init(7, 45))!.body;
  t.equal(has(writeback, 'FUSE_WRITEBACK_CACHE'), 1);

  const bare = new Harness().send(abi.FUSE_INIT, 0n, ...init(7, 31, 1, 0))!.body;
  t.equal(bare.readUInt32LE(12), 1, 'only what is offered is asked for');
  t.equal(bare.readUInt32LE(32), 0);
  const short = new Harness().send(abi.FUSE_INIT, 0n, 7, 31, 0, 0xffff_ffff)!;
  t.equal(short.error, 0, 'the fuse_init_in of before 7.36');
  t.equal(short.body.readUInt32LE(32), 0);

  t.equal(new Harness().send(abi.FUSE_INIT, 0n, ...init(7, 30))!.error, errno.EPROTO);
  t.equal(new Harness().send(abi.FUSE_INIT, 0n, ...init(6, 99))!.error, errno.EPROTO);
  const newer = new Harness().send(abi.FUSE_INIT, 0n, ...init(8, 0))!;
  t.same([newer.error, newer.body.readUInt32LE(0)], [0, 7], 'a newer major is told ours and asks again');
  t.end();
});

t.test('no kernel reads more than an answer holds, whatever its pages are', (t) => {
  const h = new Harness();
  const policy = new CachePolicy('auto');
  for (const [pageBytes, pages] of [
    [4096, 256],
    [16_384, 64],
    [65_536, 16],
  ] as const) {
    h.send(abi.FUSE_INIT, 0n, ...[7, 45, 131_072, 0xffff_ffff, 0xffff_ffff], Buffer.alloc(44));
    // The arguments are still in the frame.
    serveInit({ frame: h.frame, policy }, pageBytes);
    const body = Buffer.from(h.frame.data(abi.fuse_init_out.SIZE));
    t.equal(body.readUInt16LE(abi.fuse_init_out.max_pages), pages, `${pageBytes}`);
    t.ok(pages * pageBytes <= MAX_WRITE_BYTES, 'as long as the frame of a worker');
    const receivable = Burst.memoryBytes(MAX_WRITE_BYTES) - h.frame.requestOffset;
    const demanded = abi.fuse_in_header.SIZE + abi.fuse_write_in.SIZE + body.readUInt32LE(20);
    t.ok(receivable >= demanded, 'a WRITE fits as well (fuse_dev_do_read)');
  }
  t.end();
});

t.test('LOOKUP', (t) => {
  const h = new Harness();
  const found = h.send(abi.FUSE_LOOKUP, ROOT, 'payload')!;
  t.equal(found.error, 0);
  t.equal(found.body.length, 128);
  t.equal(found.body.readBigUInt64LE(0), FILE);
  t.equal(found.body.readBigUInt64LE(40 + 8), BigInt(STORE_BYTES));
  t.equal(h.send(abi.FUSE_LOOKUP, ROOT, '.')!.body.readBigUInt64LE(0), ROOT);
  t.equal(h.send(abi.FUSE_LOOKUP, FILE, '.')!.body.readBigUInt64LE(0), FILE);
  t.equal(h.send(abi.FUSE_LOOKUP, FILE, '..')!.body.readBigUInt64LE(0), ROOT);
  for (const name of ['payloa', 'payloadd', 'Payload', '', 'x'.repeat(300)]) {
    t.equal(h.send(abi.FUSE_LOOKUP, ROOT, name)!.error, errno.ENOENT, name);
  }
  t.equal(h.send(abi.FUSE_LOOKUP, FILE, 'payload')!.error, errno.ENOENT);
  t.equal(h.send(abi.FUSE_LOOKUP, ROOT, Buffer.from('payload'))!.error, errno.EINVAL, 'no NUL');
  t.equal(h.send(abi.FUSE_LOOKUP, ROOT)!.error, errno.EINVAL, 'no name');
  t.equal(h.send(abi.FUSE_LOOKUP, 9n, '.')!.error, errno.ESTALE);
  const named = new Harness({ fileName: 'größe' }).send(abi.FUSE_LOOKUP, ROOT, 'größe')!;
  t.equal(named.error, 0, 'names are UTF-8');
  t.end();
});

t.test('GETATTR', (t) => {
  const h = new Harness();
  const attr = (node: bigint) => h.send(abi.FUSE_GETATTR, node, 0, 0, 0n)!.body.subarray(16);
  const file = attr(FILE);
  t.equal(file.length, 88);
  t.equal(file.readUInt32LE(abi.fuse_attr.mode), 0o100640);
  t.equal(file.readBigUInt64LE(abi.fuse_attr.blocks), 20n, 'rounded up');
  t.same(
    [68, 72].map((at) => file.readUInt32LE(at)),
    [11, 22],
  );
  t.equal(file.readUInt32LE(abi.fuse_attr.nlink), 1);
  const root = attr(ROOT);
  t.equal(root.readUInt32LE(abi.fuse_attr.mode), 0o040750, 'search where reading is allowed');
  t.equal(root.readUInt32LE(abi.fuse_attr.nlink), 2);
  const alone = new Harness({ fileName: null }).send(abi.FUSE_GETATTR, ROOT, 0, 0, 0n)!.body.subarray(16);
  t.equal(alone.readUInt32LE(abi.fuse_attr.mode), 0o100640, 'the root is the file');
  t.equal(alone.readBigUInt64LE(abi.fuse_attr.size), BigInt(STORE_BYTES));
  t.end();
});

t.test('SETATTR', (t) => {
  const h = new Harness();
  const set = (...fields: Field[]) => h.send(abi.FUSE_SETATTR, FILE, ...fields)!;
  const { body } = set(
    ...setattr(abi.FATTR_MODE | abi.FATTR_UID | abi.FATTR_GID, { mode: 0o106755, uid: 66 }),
  );
  t.equal(body.readUInt32LE(16 + abi.fuse_attr.mode), 0o100755, 'no suid, no sgid');
  t.same(
    [68, 72].map((at) => body.readUInt32LE(16 + at)),
    [66, 77],
  );
  const old = set(...setattr(abi.FATTR_MTIME, { mtime: -5n })).body;
  t.equal(old.readBigInt64LE(16 + abi.fuse_attr.mtime), -5n);
  t.equal(old.readUInt32LE(16 + abi.fuse_attr.mtimensec), 5);

  const size = BigInt(STORE_BYTES);
  const truncate = (to: bigint, valid = 0) => set(...setattr(abi.FATTR_SIZE | valid, { size: to })).error;
  t.equal(truncate(size), 0);
  for (const other of [0n, 1n, size - 1n, size + 1n, 1n << 62n]) t.equal(truncate(other), errno.EINVAL);
  t.equal(h.send(abi.FUSE_SETATTR, ROOT, ...setattr(abi.FATTR_SIZE, { size }))!.error, errno.EINVAL);
  h.store.isReadOnly = true;
  t.equal(truncate(size), errno.EROFS);

  t.end();
});

t.test('O_TRUNC comes as SETATTR from the thread that opens, once', (t) => {
  const h = new Harness();
  const truncate = (valid = 0) => h.send(abi.FUSE_SETATTR, FILE, ...setattr(abi.FATTR_SIZE | valid))!;
  h.send(abi.FUSE_OPEN, FILE, O_WRONLY, 0);
  t.equal(truncate(abi.FATTR_FH).error, errno.EINVAL, 'ftruncate(2)');
  const { error, body } = truncate();
  t.equal(error, 0);
  t.equal(body.readBigUInt64LE(16 + abi.fuse_attr.size), BigInt(STORE_BYTES), 'answered with the true size');
  t.equal(truncate().error, errno.EINVAL, 'truncate(2)');
  t.same(h.store.calls, []);
  t.end();
});

t.test('OPEN', (t) => {
  const flagsOf = (h: Harness, flags: number) => h.send(abi.FUSE_OPEN, FILE, flags, 0)!.body.readUInt32LE(8);
  const direct = abi.FOPEN_DIRECT_IO | abi.FOPEN_PARALLEL_DIRECT_WRITES;
  const h = new Harness();
  t.equal(flagsOf(h, O_RDWR), abi.FOPEN_KEEP_CACHE);
  t.equal(
    flagsOf(h, O_RDWR | O_DIRECT),
    abi.FOPEN_KEEP_CACHE,
    'not past the cache while others go through it',
  );
  t.equal(flagsOf(new Harness(), O_RDWR | O_DIRECT), direct);
  t.equal(flagsOf(new Harness({ cache: 'none' }), O_RDONLY), direct);
  t.equal(h.send(abi.FUSE_OPEN, ROOT, O_RDONLY, 0)!.error, errno.EISDIR);
  h.store.isReadOnly = true;
  t.equal(h.send(abi.FUSE_OPEN, FILE, O_RDONLY, 0)!.error, 0);
  for (const flags of [O_WRONLY, O_RDWR]) {
    t.equal(h.send(abi.FUSE_OPEN, FILE, flags, 0)!.error, errno.EROFS);
  }
  t.end();
});

t.test('READ', (t) => {
  const h = new Harness();
  for (const [offset, size, expected] of [
    [0, 1, 1],
    [0, STORE_BYTES, STORE_BYTES],
    [4095, 3, 3],
    [STORE_BYTES - 5, 100, 5],
    [STORE_BYTES, 100, 0],
    [2 ** 40, 100, 0],
  ] as const) {
    const { error, body } = h.send(abi.FUSE_READ, FILE, ...io(BigInt(offset), size))!;
    t.equal(error, 0);
    t.ok(body.equals(h.store.bytes.subarray(offset, offset + size)), `${size} at ${offset}`);
    t.equal(body.length, expected);
  }
  t.equal(h.send(abi.FUSE_READ, FILE, ...io(0n, MAX_WRITE + 1))!.error, errno.EINVAL, 'more than fits');
  t.equal(h.send(abi.FUSE_READ, FILE, ...io(2n ** 64n - 1n, 1))!.body.length, 0);
  t.equal(h.send(abi.FUSE_READ, ROOT, ...io(0n, 1))!.error, errno.EISDIR);
  t.match(Counters.totals(h.counterMemory), { readBytes: STORE_BYTES + 9, errors: 2, requests: 9 });
  t.end();
});

t.test('WRITE', (t) => {
  const h = new Harness();
  const write = (offset: bigint, data: Buffer, size = data.length) =>
    h.send(abi.FUSE_WRITE, FILE, ...io(offset, size), data)!;
  const data = Buffer.from('written');
  const before = h.send(abi.FUSE_GETATTR, FILE, 0, 0, 0n)!.body.readBigUInt64LE(16 + abi.fuse_attr.mtime);
  const whole = write(100n, data);
  t.same([whole.error, whole.body.length, whole.body.readUInt32LE(0)], [0, 8, 7]);
  t.equal(h.store.bytes.toString('latin1', 100, 107), 'written');
  const after = h.send(abi.FUSE_GETATTR, FILE, 0, 0, 0n)!.body.readBigUInt64LE(16 + abi.fuse_attr.mtime);
  t.ok(after >= before && after > 1_700_000_000n, 'mtime moves');

  t.equal(write(BigInt(STORE_BYTES - 3), data).body.readUInt32LE(0), 3, 'up to the end');
  t.equal(h.store.bytes.toString('latin1', STORE_BYTES - 3), 'wri');
  for (const offset of [BigInt(STORE_BYTES), BigInt(STORE_BYTES) * 2n, 2n ** 63n - 1n, 2n ** 64n - 7n]) {
    t.equal(write(offset, data).error, errno.ENOSPC, `at ${offset}`);
  }
  t.equal(write(0n, Buffer.alloc(0)).body.readUInt32LE(0), 0);
  t.equal(write(0n, data, 8).error, errno.EINVAL, 'less data than said');
  t.equal(write(0n, data, 6).error, errno.EINVAL, 'more data than said');
  t.equal(h.send(abi.FUSE_WRITE, ROOT, ...io(0n, 0))!.error, errno.EISDIR);
  h.store.isReadOnly = true;
  t.equal(write(0n, data).error, errno.EROFS);
  t.equal(h.store.calls.filter((call) => call.startsWith('write')).length, 2);
  t.end();
});

t.test('errors of the store', (t) => {
  const h = new Harness();
  const read = () => h.send(abi.FUSE_READ, FILE, ...io(0n, 1))!.error;
  for (const [failure, expected] of [
    [systemError('ENOSPC', 'read'), errno.ENOSPC],
    [new LuksError('DEVICE_IO', 'x', { cause: systemError('ENODATA', 'read') }), errno.ENODATA],
    [new Error('anything'), errno.EIO],
    ['a string', errno.EIO],
    [Object.assign(new Error('libuv'), { errno: -4094 }), errno.EIO],
    [systemError('ENOSYS', 'fallocate'), errno.EIO],
  ] as const) {
    h.store.failure = failure;
    t.equal(read(), expected, String(failure));
  }
  h.store.failure = systemError('ENOSPC', 'fdatasync');
  t.equal(h.send(abi.FUSE_FSYNC, FILE, 0n, 1, 0)!.error, errno.ENOSPC);
  t.end();
});

t.test('FSYNC and SYNCFS reach the store, FLUSH and RELEASE need not', (t) => {
  const h = new Harness();
  t.equal(h.send(abi.FUSE_FSYNC, FILE, 0n, 0, 0)!.error, 0);
  t.equal(h.send(abi.FUSE_FSYNC, FILE, 0n, 1, 0)!.error, 0);
  t.equal(h.send(abi.FUSE_SYNCFS, ROOT, 0n)!.error, 0);
  t.same(h.store.calls, ['sync', 'sync', 'sync']);
  t.equal(h.send(abi.FUSE_FLUSH, FILE, 0n, 0, 0, 0n)!.error, 0);
  t.equal(h.send(abi.FUSE_RELEASE, FILE, 0n, 0, 0, 0n)!.error, 0);
  t.equal(h.send(abi.FUSE_FSYNCDIR, ROOT, 0n, 0, 0)!.error, 0);
  t.equal(h.store.calls.length, 3);
  t.end();
});

t.test('LSEEK', (t) => {
  const h = new Harness();
  const seek = (offset: bigint, whence: number) => h.send(abi.FUSE_LSEEK, FILE, 0n, offset, whence, 0)!;
  t.equal(seek(5n, 3).body.readBigUInt64LE(0), 5n, 'SEEK_DATA');
  t.equal(seek(5n, 4).body.readBigUInt64LE(0), BigInt(STORE_BYTES), 'SEEK_HOLE');
  t.equal(seek(BigInt(STORE_BYTES), 3).error, errno.ENXIO);
  t.equal(seek(2n ** 63n, 4).error, errno.ENXIO);
  t.equal(seek(0n, 2).error, errno.EINVAL);
  t.end();
});

t.test('FALLOCATE', (t) => {
  const h = new Harness();
  const allocate = (mode: number, offset: number, length: number) =>
    h.send(abi.FUSE_FALLOCATE, FILE, 0n, BigInt(offset), BigInt(length), mode, 0)!.error;
  t.equal(allocate(0, 0, STORE_BYTES), 0);
  t.equal(allocate(1, 1, 2), 0);
  t.equal(allocate(16, 3, 4), 0);
  t.equal(allocate(17, 5, 6), 0);
  t.equal(allocate(3, 7, 8), 0);
  const [whole, ...others] = h.store.calls;
  t.equal(whole, `allocate 0 ${STORE_BYTES}`);
  t.same(others, ['allocate 1 2', 'zeroRange 3 4', 'zeroRange 5 6', 'discard 7 8']);
  for (const mode of [8, 32, 64, 18]) t.equal(allocate(mode, 0, 1), errno.EOPNOTSUPP, `mode ${mode}`);
  for (const mode of [0, 1, 3, 16, 17])
    t.equal(allocate(mode, STORE_BYTES - 1, 2), errno.ENOSPC, `mode ${mode}`);
  t.equal(allocate(0, 0, 0), errno.EINVAL);
  h.store.isReadOnly = true;
  t.equal(allocate(0, 0, 1), errno.EROFS);
  t.equal(h.store.calls.length, 5);
  h.store.isReadOnly = false;
  h.store.failure = systemError('EOPNOTSUPP', 'fallocate');
  t.equal(allocate(3, 0, 1), errno.EOPNOTSUPP, 'as the store says');
  t.end();
});

t.test('READDIR and READDIRPLUS', (t) => {
  const h = new Harness();
  /** [name, node id, next cookie, type], walking fuse_dirent records. */
  const list = (opcode: number, offset: bigint, size: number, recordHead: number) => {
    const { body } = h.send(opcode, ROOT, ...io(offset, size))!;
    const names: unknown[] = [];
    for (let at = 0; at < body.length; ) {
      const dirent = body.subarray(at + recordHead);
      const nameBytes = dirent.readUInt32LE(16);
      const name = dirent.toString('utf8', 24, 24 + nameBytes);
      names.push([name, dirent.readBigUInt64LE(0), dirent.readBigUInt64LE(8), dirent.readUInt32LE(20)]);
      at += Math.ceil((recordHead + 24 + nameBytes) / 8) * 8;
      if (at > body.length) throw new Error('a record passes the end');
    }
    return names;
  };
  const all = [
    ['.', 1n, 1n, 4],
    ['..', 1n, 2n, 4],
    ['payload', 2n, 3n, 8],
  ];
  t.same(list(abi.FUSE_READDIR, 0n, 4096, 0), all);
  t.same(list(abi.FUSE_READDIRPLUS, 0n, 4096, 128), all);
  for (let from = 0; from <= 4; from++)
    t.same(list(abi.FUSE_READDIR, BigInt(from), 4096, 0), all.slice(from));
  t.same(list(abi.FUSE_READDIR, 0n, 64, 0), all.slice(0, 2), 'as many as fit');
  t.same(list(abi.FUSE_READDIR, 0n, 31, 0), []);
  t.same(list(abi.FUSE_READDIR, 2n ** 64n - 1n, 4096, 0), []);
  const plus = h.send(abi.FUSE_READDIRPLUS, ROOT, ...io(2n, 4096))!.body;
  t.equal(plus.readBigUInt64LE(0), FILE, 'the file comes with its entry');
  t.equal(h.send(abi.FUSE_READDIRPLUS, ROOT, ...io(0n, 4096))!.body.readBigUInt64LE(0), 0n, 'and . without');
  t.equal(h.send(abi.FUSE_READDIR, FILE, ...io(0n, 4096))!.error, errno.ENOTDIR);
  t.equal(h.send(abi.FUSE_OPENDIR, ROOT, 0, 0)!.error, 0);
  t.equal(h.send(abi.FUSE_OPENDIR, FILE, 0, 0)!.error, errno.ENOTDIR);
  t.equal(h.send(abi.FUSE_RELEASEDIR, ROOT, 0n, 0, 0, 0n)!.error, 0);
  t.end();
});

t.test('STATFS and ACCESS', (t) => {
  const h = new Harness();
  const { body } = h.send(abi.FUSE_STATFS, ROOT)!;
  t.equal(body.length, 80);
  t.same(
    [0, 8, 16, 24].map((at) => body.readBigUInt64LE(at)),
    [20n, 0n, 0n, 2n],
  );
  t.same([body.readUInt32LE(44), body.readUInt32LE(48)], [255, 512]);
  t.equal(h.send(abi.FUSE_ACCESS, FILE, 2, 0)!.error, 0);
  h.store.isReadOnly = true;
  t.equal(h.send(abi.FUSE_ACCESS, FILE, 2, 0)!.error, errno.EROFS);
  t.equal(h.send(abi.FUSE_ACCESS, FILE, 4, 0)!.error, 0);
  t.end();
});

t.test(
  'what changes the tree is refused, what is not served is ENOSYS, what wants no answer gets none',
  (t) => {
    const h = new Harness();
    const changes = [
      abi.FUSE_CREATE,
      abi.FUSE_MKNOD,
      abi.FUSE_MKDIR,
      abi.FUSE_SYMLINK,
      abi.FUSE_LINK,
      abi.FUSE_UNLINK,
      abi.FUSE_RMDIR,
      abi.FUSE_RENAME,
      abi.FUSE_RENAME2,
      abi.FUSE_TMPFILE,
    ];
    const notServed = [
      abi.FUSE_SETXATTR,
      abi.FUSE_GETXATTR,
      abi.FUSE_LISTXATTR,
      abi.FUSE_REMOVEXATTR,
      abi.FUSE_BMAP,
      abi.FUSE_POLL,
      abi.FUSE_COPY_FILE_RANGE,
      abi.FUSE_COPY_FILE_RANGE_64,
      abi.FUSE_STATX,
      abi.FUSE_GETLK,
      abi.FUSE_SETUPMAPPING,
      0,
      9999,
    ];
    for (const opcode of changes)
      t.equal(h.send(opcode, ROOT, Buffer.alloc(80))!.error, errno.EPERM, `${opcode}`);
    for (const opcode of notServed)
      t.equal(h.send(opcode, FILE, Buffer.alloc(80))!.error, errno.ENOSYS, `${opcode}`);
    for (const opcode of [abi.FUSE_FORGET, abi.FUSE_BATCH_FORGET, abi.FUSE_INTERRUPT]) {
      t.equal(h.send(opcode, 99n, Buffer.alloc(16)), null, `${opcode}`);
    }
    t.equal(h.send(abi.FUSE_IOCTL, FILE, Buffer.alloc(32))!.error, errno.ENOTTY);
    t.equal(h.send(abi.FUSE_DESTROY, 0n)!.error, 0);
    h.store.isReadOnly = true;
    for (const opcode of changes)
      t.equal(h.send(opcode, ROOT, Buffer.alloc(80))!.error, errno.EROFS, `${opcode}`);
    t.same(h.store.calls, []);
    t.end();
  },
);

t.test('malformed requests', (t) => {
  const h = new Harness();
  const header = Buffer.alloc(40);
  header.writeUInt32LE(40, 0);
  header.writeUInt32LE(abi.FUSE_GETATTR, 4);
  header.writeUInt8(1, 16);
  t.equal(h.sendRaw(header)!.readInt32LE(4), -errno.EINVAL, 'arguments missing');
  t.equal(h.sendRaw(header.subarray(0, 39)), null, 'not a whole header');
  t.equal(h.sendRaw(Buffer.alloc(0)), null);
  t.equal(h.sendRaw(Buffer.concat([header, Buffer.alloc(8)])), null, 'not the length it says');
  t.end();
});

t.test('any bytes: no exception, and an answer that the kernel accepts', (t) => {
  const opcode = fc.oneof(fc.integer({ min: 0, max: 60 }), fc.nat(0xffff_ffff));
  const nodeId = fc.oneof(fc.constantFrom(0n, 1n, 2n, 3n), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
  const body = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    // Numbers near the edges of the file, of 32 and of 64 bits.
    fc
      .array(fc.constantFrom(0n, 1n, 2n, 9_999n, 10_000n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n), {
        maxLength: 14,
      })
      .map((words) => new Uint8Array(BigUint64Array.from(words).buffer)),
  );
  const harnesses = [new Harness(), new Harness({ fileName: null }), new Harness({ cache: 'writeback' })];
  fc.assert(
    fc.property(fc.constantFrom(...harnesses), opcode, nodeId, body, (h, ...[code, node, bytes]) => {
      const reply = h.send(code, node, bytes);
      if (!reply) return true;
      const isErrorAccepted = reply.error >= 0 && reply.error < 512;
      const isBodyAccepted = reply.error === 0 || reply.body.length === 0;
      return isErrorAccepted && isBodyAccepted && reply.unique === h.unique;
    }),
    { numRuns: 5000 },
  );
  t.end();
});

t.test('a user who is not admitted gets no further than a file that was handed over open', (t) => {
  // The harness speaks for user 1000.
  for (const [onlyUser, error] of [
    [1000, 0],
    [1001, errno.EACCES],
  ] as const) {
    const h = new Harness({ onlyUser });
    const valid = abi.FATTR_MTIME_NOW;
    t.equal(h.send(abi.FUSE_LOOKUP, ROOT, 'payload')!.error, error);
    t.equal(h.send(abi.FUSE_GETATTR, FILE, 0, 0, 0n)!.error, error);
    t.equal(h.send(abi.FUSE_SETATTR, FILE, ...setattr(valid))!.error, error);
    t.equal(h.send(abi.FUSE_STATFS, ROOT)!.error, error);
    t.equal(h.send(abi.FUSE_ACCESS, FILE, 4, 0)!.error, error);
    t.equal(h.send(abi.FUSE_OPENDIR, ROOT, 0, 0)!.error, error);
    t.equal(h.send(abi.FUSE_OPEN, FILE, 0, 0)!.error, error);
    t.equal(h.send(abi.FUSE_READ, FILE, 0n, 0n, 100, 0, 0n, 0, 0)!.error, 0);
    t.equal(h.send(abi.FUSE_FSYNC, FILE, 0n, 0, 0)!.error, 0);
    t.equal(h.send(abi.FUSE_FLUSH, FILE, 0n, 0, 0, 0n)!.error, 0);
    t.equal(h.send(abi.FUSE_RELEASE, FILE, 0n, 0, 0, 0n)!.error, 0);
    t.equal(h.send(abi.FUSE_FORGET, FILE, Buffer.alloc(8)), null);
  }
  t.end();
});
