/**
 * Rows on the file's bytes: reading, writing, the end, truncation, and what the kernel does with them on the way.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { fallocateSync, flockSync, ioctlSync, LOCK_EX, LOCK_NB } from '../../lib/native/file.js';
import { copyFileRange, lseek, SEEK_DATA, SEEK_HOLE, truncate, withSharedMapping } from '../kit/libc.js';
import { MappedFile } from '../kit/mapped-file.js';
import { Random } from '../kit/random.js';
import { MIB, outcome, type Row, SIZE, shell } from './conformance.js';
import { FAIL_IO, FAIL_SYNC, SYNC_COUNT } from './dev-fuse-store.js';

const { O_APPEND, O_DIRECT, O_RDONLY, O_RDWR, O_TRUNC } = fs.constants;
const FALLOC_KEEP = 1;
const FALLOC_PUNCH = 2;
const FALLOC_ZERO = 16;
const BLKGETSIZE64 = 0x8008_1272;

/** Runs `work` on the file opened with `flags`, and closes it whatever happens. */
function withFile<T>(path: string, flags: number, work: (fd: number) => T): T {
  const fd = fs.openSync(path, flags);
  try {
    return work(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function isSame(one: string, other: string): boolean {
  return fs.readFileSync(one).equals(fs.readFileSync(other));
}

/** Around the end of the file: one write over it, two past it, two reads, and the size. */
function observeEnd(path: string, flags: number): unknown[] {
  const page = new Random(7).bytes(4096);
  return withFile(path, flags, (fd) => [
    outcome(() => fs.writeSync(fd, page, 0, 4096, SIZE - 1000)),
    outcome(() => fs.writeSync(fd, page, 0, 1, SIZE)),
    outcome(() => fs.writeSync(fd, page, 0, 4096, SIZE + 5 * MIB)),
    outcome(() => fs.readSync(fd, page, 0, 4096, SIZE)),
    outcome(() => fs.readSync(fd, page, 0, 4096, SIZE - 10)),
    fs.fstatSync(fd).size,
  ]);
}
const BLOCK_DEVICE_END = [1000, 'ENOSPC', 'ENOSPC', 0, 10, SIZE];

/** Programs that overwrite a file from its start, one after the other; the names of those that did any harm. */
function observeOverwriting(path: string, backing: string, directory: string): string[] {
  const expected = fs.readFileSync(backing);
  const small = join(directory, 'small');
  const scripts = {
    cp: 'cp "$1" "$2"',
    dd: 'dd if="$1" of="$2" bs=512 status=none',
    'dd direct': 'dd if="$1" of="$2" bs=512 oflag=direct status=none',
    shell: 'cat "$1" > "$2"',
    'truncating twice': ': > "$2"; : > "$2"; cat "$1" > "$2"',
  };
  const harmful: string[] = [];
  for (const [index, [name, script]] of Object.entries(scripts).entries()) {
    const bytes = new Random(index + 100).bytes(5000);
    fs.writeFileSync(small, bytes);
    expected.set(bytes);
    const said = shell(`${script}; sync -d "$2"; stat -c %s "$2"`, small, path);
    const isRight = [path, backing].every((file) => fs.readFileSync(file).equals(expected));
    if (said !== `${SIZE}` || !isRight) harmful.push(`${name}: ${said}`);
  }
  fs.closeSync(fs.openSync(path, O_RDWR | O_TRUNC));
  if (!fs.readFileSync(path).equals(expected)) harmful.push('reading after an O_TRUNC open');
  return harmful;
}

function observeUnaligned({ path, backing }: { path: string; backing: string }): string[] {
  const expected = fs.readFileSync(backing);
  const wrong: string[] = [];
  withFile(path, O_RDWR, (cached) =>
    withFile(path, O_RDWR | O_DIRECT, (direct) => {
      for (const [index, [offset, length]] of [
        [0, 1],
        [511, 2],
        [4095, 4098],
        [1_048_575, 1_200_001],
        [SIZE - 3, 3],
      ].entries()) {
        const bytes = new Random(index + 50).bytes(length!);
        fs.writeSync(index % 2 ? cached : direct, bytes, 0, length!, offset!);
        expected.set(bytes, offset!);
        for (const fd of [cached, direct]) {
          const back = Buffer.alloc(length!);
          const count = fs.readSync(fd, back, 0, length!, offset!);
          if (count !== length || !back.equals(bytes)) wrong.push(`${length} bytes at ${offset}`);
        }
      }
    }),
  );
  if (!fs.readFileSync(backing).equals(expected)) wrong.push('the store');
  return wrong;
}

const READ_ROWS: readonly Row[] = [
  {
    name: 'the bytes are those of the store',
    observe: ({ path, backing }) => isSame(path, backing),
    expected: true,
  },
  {
    name: 'many readers at once see the same bytes',
    mount: { cache: 'none' },
    observe: ({ path, backing }) =>
      shell('for i in 1 2 3 4 5 6 7 8; do sha256sum < "$1" & done; wait; sha256sum < "$2"', path, backing)
        .split('\n')
        .filter((sum, _, sums) => sum === sums[0]).length,
    expected: 9,
  },
  {
    name: 'SEEK_DATA and SEEK_HOLE: data up to the end',
    observe: ({ path }) =>
      withFile(path, O_RDONLY, (fd) => [
        lseek(fd, 1000, SEEK_DATA),
        lseek(fd, 1000, SEEK_HOLE),
        outcome(() => lseek(fd, SIZE, SEEK_DATA)),
        outcome(() => lseek(fd, SIZE, SEEK_HOLE)),
      ]),
    expected: [1000, SIZE, 'ENXIO', 'ENXIO'],
  },
  {
    name: 'no ioctl of a block device, and locks between openers',
    observe: ({ path }) =>
      withFile(path, O_RDWR, (one) =>
        withFile(path, O_RDWR, (other) => [
          outcome(() => ioctlSync(one, BLKGETSIZE64, new Uint8Array(8))),
          outcome(() => flockSync(one, LOCK_EX | LOCK_NB)),
          outcome(() => flockSync(other, LOCK_EX | LOCK_NB)),
        ]),
      ),
    expected: ['ENOTTY', undefined, 'EAGAIN'],
  },
];

const WRITE_ROWS: readonly Row[] = [
  { name: 'unaligned reads and writes, cached and direct, agree', observe: observeUnaligned, expected: [] },
  {
    name: 'the end, through the page cache',
    observe: ({ path, backing }) => [...observeEnd(path, O_RDWR), isSame(path, backing)],
    expected: [...BLOCK_DEVICE_END, true],
  },
  {
    name: 'the end, with O_DIRECT',
    mount: {},
    observe: ({ path, backing }) => [...observeEnd(path, O_RDWR | O_DIRECT), isSame(path, backing)],
    expected: [...BLOCK_DEVICE_END, true],
  },
  {
    name: 'the end, with O_DIRECT while the file is open through the page cache',
    mount: {},
    observe: ({ path }) => withFile(path, O_RDWR, () => observeEnd(path, O_RDWR | O_DIRECT)),
    // The kernel does this write asynchronously, and knows no short asynchronous write (fuse_get_res_by_io).
    expected: ['EIO', ...BLOCK_DEVICE_END.slice(1)],
    fuseNative: { why: 'libfuse 2 asks for no asynchronous direct I/O', expected: BLOCK_DEVICE_END },
  },
  {
    name: 'appending is past the end',
    observe: ({ path }) => withFile(path, O_RDWR | O_APPEND, (fd) => outcome(() => fs.writeSync(fd, 'x'))),
    expected: 'ENOSPC',
  },
  ...(['auto', 'none'] as const).map((cache) => ({
    name: `programs that overwrite from the start keep size and rest, cache=${cache}`,
    mount: { cache },
    observe: ({ path, backing, directory }: { path: string; backing: string; directory: string }) =>
      observeOverwriting(path, backing, directory),
    expected: [],
  })),
  {
    name: 'programs that overwrite from the start keep size and rest, cache=writeback',
    mount: { cache: 'writeback' },
    driver: 'dev-fuse',
    observe: ({ path, backing, directory }) => observeOverwriting(path, backing, directory),
    expected: [],
  },
  {
    name: 'O_TRUNC leaves what a mapping has not written back',
    observe: ({ path, backing }) => {
      const mapped = new MappedFile(path);
      mapped.bytes.fill(7, 100_000, 100_100);
      fs.closeSync(fs.openSync(path, O_RDWR | O_TRUNC));
      const seen = mapped.bytes[100_000];
      mapped.sync();
      mapped.close();
      return [seen, fs.readFileSync(backing)[100_000]];
    },
    expected: [7, 7],
  },
  {
    name: 'copy_file_range within the file',
    observe: ({ path }) => {
      const before = fs.readFileSync(path).subarray(0, 10_000);
      const count = withFile(path, O_RDWR, (fd) =>
        copyFileRange(fd, BigInt64Array.of(0n), fd, BigInt64Array.of(2_000_000n), 10_000, 0),
      );
      return [count, fs.readFileSync(path).subarray(2_000_000, 2_010_000).equals(before)];
    },
    expected: [10_000, true],
  },
  {
    name: 'a shared mapping reads and writes, beside a direct open too',
    observe: ({ path, backing }) => {
      const map = (flags: number, at: number, text: string) =>
        withFile(path, flags, (fd) => withSharedMapping(fd, SIZE, (memory) => memory.write(text, at)));
      map(O_RDWR, 3_000_000, 'mmap!');
      map(O_RDWR, SIZE - 3, 'end');
      map(O_RDWR | O_DIRECT, 0, 'direct');
      const stored = fs.readFileSync(backing).toString('latin1');
      return [
        stored.slice(3_000_000, 3_000_005),
        stored.slice(-3),
        stored.slice(0, 6),
        isSame(path, backing),
      ];
    },
    expected: ['mmap!', 'end', 'direct', true],
  },
];

const SIZES = [1, SIZE - 1, SIZE, SIZE + 1, SIZE * 2];

const CONTROL_ROWS: readonly Row[] = [
  {
    name: 'truncate(2) to 0',
    // By a thread that has not opened the file: the kernel says of an O_TRUNC no more than of this.
    mount: {},
    observe: ({ path }) => [outcome(() => truncate(path, 0)), fs.statSync(path).size],
    expected: ['EINVAL', SIZE],
    fuseNative: { why: 'it cannot be told from the O_TRUNC of an open', expected: [0, SIZE] },
  },
  {
    name: 'truncate(2) to any other size but the one it has',
    observe: ({ path }) => [SIZES.map((size) => outcome(() => truncate(path, size))), fs.statSync(path).size],
    expected: [['EINVAL', 'EINVAL', 0, 'EINVAL', 'EINVAL'], SIZE],
  },
  {
    name: 'ftruncate(2)',
    observe: ({ path }) =>
      withFile(path, O_RDWR, (fd) => [
        [0, ...SIZES].map((size) => outcome(() => fs.ftruncateSync(fd, size))),
        fs.fstatSync(fd).size,
      ]),
    expected: [['EINVAL', 'EINVAL', 'EINVAL', undefined, 'EINVAL', 'EINVAL'], SIZE],
  },
  {
    name: 'fallocate: reserving, zeroing, punching, past the end',
    observe: ({ path, backing }) => {
      const before = fs.readFileSync(path);
      const results = withFile(path, O_RDWR, (fd) =>
        [
          [0, 0, SIZE],
          [FALLOC_KEEP, 100, 1000],
          [FALLOC_ZERO | FALLOC_KEEP, 1000, 5000],
          [FALLOC_PUNCH | FALLOC_KEEP, 0, 4096],
          [0, SIZE - 1, 2],
          [FALLOC_ZERO, SIZE, 1],
        ].map(([mode, offset, length]) => outcome(() => fallocateSync(fd, mode!, offset!, length!))),
      );
      const after = fs.readFileSync(path);
      const isZeroed = after.subarray(1000, 6000).every((byte) => byte === 0);
      after.set(before.subarray(1000, 6000), 1000);
      return [results, isZeroed, after.equals(before), isSame(path, backing), fs.statSync(path).size];
    },
    expected: [[undefined, undefined, undefined, 'ENOTSUP', 'ENOSPC', 'ENOSPC'], true, true, true, SIZE],
    fuseNative: {
      why: 'it has no fallocate',
      expected: [Array(6).fill('ENOTSUP'), false, true, true, SIZE],
    },
  },
  {
    name: 'fallocate: punching a hole, where the store lets it',
    mount: { allowsDiscards: true },
    observe: ({ path, backing }) => {
      const before = fs.readFileSync(path);
      const blocks = fs.statSync(backing).blocks;
      const results = withFile(path, O_RDWR, (fd) => [
        outcome(() => fallocateSync(fd, FALLOC_PUNCH | FALLOC_KEEP, MIB + 100, 2 * MIB)),
        outcome(() => fallocateSync(fd, FALLOC_PUNCH | FALLOC_KEEP, SIZE - 1, 2)),
        lseek(fd, MIB, SEEK_DATA),
        lseek(fd, MIB, SEEK_HOLE),
      ]);
      const saved = blocks - fs.statSync(backing).blocks;
      before.fill(0, MIB + 100, 3 * MIB + 100);
      const isRight = fs.readFileSync(path).equals(before) && isSame(path, backing);
      return [results, isRight, saved >= (2 * MIB) / 512 - 8, fs.statSync(path).size];
    },
    expected: [[undefined, 'ENOSPC', MIB, SIZE], true, true, SIZE],
    fuseNative: {
      why: 'it has no fallocate',
      expected: [['ENOTSUP', 'ENOTSUP', MIB, SIZE], false, false, SIZE],
    },
  },
  {
    name: 'fsync and fdatasync reach the store, and their errors come back',
    observe: async (mounted) => {
      const fd = fs.openSync(mounted.path, O_RDWR);
      try {
        const before = await mounted.fault(SYNC_COUNT);
        fs.writeSync(fd, 'x');
        fs.fsyncSync(fd);
        fs.fdatasyncSync(fd);
        const count = (await mounted.fault(SYNC_COUNT)) - before;
        await mounted.setFault(FAIL_SYNC, 1);
        return [count, outcome(() => fs.fsyncSync(fd)), outcome(() => fs.fdatasyncSync(fd))];
      } finally {
        await mounted.setFault(FAIL_SYNC, 0);
        fs.closeSync(fd);
      }
    },
    expected: [2, 'ENOSPC', 'ENOSPC'],
  },
  {
    name: 'errors of the store come back, and it goes on after them',
    mount: {},
    observe: async (mounted) => {
      const fd = fs.openSync(mounted.path, O_RDWR);
      try {
        await mounted.setFault(FAIL_IO, 1);
        const failed = [
          outcome(() => fs.writeSync(fd, 'x', MIB)),
          outcome(() => fs.readSync(fd, Buffer.alloc(10), 0, 10, 2 * MIB)),
        ];
        await mounted.setFault(FAIL_IO, 0);
        return [...failed, fs.writeSync(fd, 'x', MIB), fs.readSync(fd, Buffer.alloc(10), 0, 10, 2 * MIB)];
      } finally {
        fs.closeSync(fd);
      }
    },
    expected: ['EIO', 'EIO', 1, 10],
  },
];

const PROGRAM_ROWS: readonly Row[] = [
  ...(
    ['--ioengine=psync --fsync=32', '--ioengine=libaio --direct=1 --iodepth=16', '--ioengine=mmap'] as const
  ).map((how) => ({
    name: `fio verifies what it wrote: ${how}`,
    tools: ['fio'],
    observe: ({ path }: { path: string }) =>
      shell(
        `fio --name=x --filename="$1" --size=4m --rw=randwrite --bsrange=512-128k --blockalign=512 \
            --verify=crc32c --verify_fatal=1 --verify_state_save=0 --fallocate=none ${how} >/dev/null`,
        path,
      ),
    expected: '',
  })),
  {
    name: 'ext4 can be made on it, and is whole',
    mount: { sizeBytes: 16 * MIB },
    tools: ['mkfs.ext4', 'fsck.ext4'],
    observe: ({ path, backing }) =>
      shell(
        'mkfs.ext4 -q -F "$1"; sync -d "$1"; for f in "$@"; do fsck.ext4 -fn "$f" >/dev/null 2>&1; done',
        path,
        backing,
      ),
    expected: '',
  },
];

export const DATA_ROWS: readonly Row[] = [...READ_ROWS, ...WRITE_ROWS, ...CONTROL_ROWS, ...PROGRAM_ROWS];
