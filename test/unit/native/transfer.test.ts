import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { koffi } from '../../../lib/native/library.js';
import { pinMemory, readInto, writeFrom } from '../../../lib/native/transfer.js';
import { makeTempDir } from '../../kit/temp.js';

const MEMORY_BYTES = 65536;
const pinned = Buffer.from(new ArrayBuffer(MEMORY_BYTES));
const ordinary = Buffer.alloc(MEMORY_BYTES);
pinMemory(pinned.buffer);

/** The peer of every test is node:fs, which transfers what lies in other memory. */
const memories = { pinned, ordinary };
const file = path.join(makeTempDir(t), 'file');

/** What a call throws, in the parts that callers look at. */
function failure(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    const { errno, code, syscall } = error as NodeJS.ErrnoException;
    return { errno, code, syscall };
  }
}

for (const [name, memory] of Object.entries(memories)) {
  t.test(`${name} memory: bytes go where they are meant, also past 4 GiB`, (t) => {
    const fd = fs.openSync(file, 'w+');
    t.teardown(() => fs.closeSync(fd));
    for (const offsetBytes of [0, 511, 2 ** 31, 2 ** 32 + 12345, 2 ** 40 + 1]) {
      const piece = memory.subarray(100, 5100).fill(0);
      piece.write(`at ${offsetBytes}`);
      t.equal(writeFrom(fd, piece, 0, 4096, offsetBytes), 4096);
      const written = Buffer.alloc(4096);
      fs.readSync(fd, written, 0, 4096, offsetBytes);
      t.ok(written.equals(piece.subarray(0, 4096)), `written at ${offsetBytes}`);
      memory.fill(7);
      t.equal(readInto(fd, piece, 3, 4096, offsetBytes), 4096);
      t.ok(piece.subarray(3, 4099).equals(written), `read at ${offsetBytes}`);
      t.same([memory[102], memory[4199]], [7, 7], 'and not a byte beside');
    }
    t.equal(readInto(fd, memory, 0, 4096, 2 ** 40 + 4000), 97, 'short at the end');
    t.equal(readInto(fd, memory, 0, 4096, 2 ** 41), 0, 'nothing past it');
    t.end();
  });

  t.test(`${name} memory: without an offset the file's own is used, and moved`, (t) => {
    fs.writeFileSync(file, 'abcdef');
    const fd = fs.openSync(file, 'r+');
    t.teardown(() => fs.closeSync(fd));
    t.equal(readInto(fd, memory, 0, 2, null), 2);
    t.equal(readInto(fd, memory, 2, 2, null), 2);
    t.equal(memory.toString('latin1', 0, 4), 'abcd');
    t.equal(writeFrom(fd, memory, 0, 1, null), 1);
    t.equal(fs.readFileSync(file, 'latin1'), 'abcdaf');
    t.end();
  });
}

t.test(
  'pinned memory goes past node:fs, other memory does not',
  { skip: !koffi && 'koffi is not here' },
  (t) => {
    fs.writeFileSync(file, 'abcdef');
    const fd = fs.openSync(file, 'r+');
    const { readSync, writeSync } = fs;
    t.teardown(() => fs.closeSync(fd));
    Object.assign(fs, { readSync: () => -9, writeSync: () => -9 });
    t.teardown(() => Object.assign(fs, { readSync, writeSync }));
    t.same([readInto(fd, pinned, 0, 3, 0), writeFrom(fd, pinned, 0, 3, 0)], [3, 3]);
    t.same([readInto(fd, ordinary, 0, 3, 0), writeFrom(fd, ordinary, 0, 3, 0)], [-9, -9]);
    t.end();
  },
);

t.test('errors are those of node:fs', (t) => {
  const directory = fs.openSync(path.dirname(file), 'r');
  const full = fs.openSync('/dev/full', 'r+');
  const forReading = fs.openSync(file, 'r');
  t.teardown(() => [directory, full, forReading].forEach((fd) => void fs.closeSync(fd)));
  const calls: [code: string, call: (memory: Buffer) => unknown][] = [
    ['EISDIR', (memory) => readInto(directory, memory, 0, 16, 0)],
    ['EISDIR', (memory) => readInto(directory, memory, 0, 16, null)],
    ['ENOSPC', (memory) => writeFrom(full, memory, 0, 16, 0)],
    ['ENOSPC', (memory) => writeFrom(full, memory, 0, 16, null)],
    ['EBADF', (memory) => writeFrom(forReading, memory, 0, 16, 0)],
    ['EBADF', (memory) => readInto(99_999, memory, 0, 16, 4096)],
  ];
  for (const [code, call] of calls) {
    t.match(
      failure(() => call(pinned)),
      { code },
    );
    t.same(
      failure(() => call(pinned)),
      failure(() => call(ordinary)),
    );
  }
  t.end();
});

t.test('what does not lie inside the buffer is refused, as by node:fs', (t) => {
  const fd = fs.openSync(file, 'r+');
  t.teardown(() => fs.closeSync(fd));
  const piece = pinned.subarray(1000, 2000);
  for (const [start, lengthBytes] of [
    [0, 1001],
    [1, 1000],
    [-1, 10],
  ] as const) {
    t.throws(() => readInto(fd, piece, start, lengthBytes, 0), { code: 'ERR_OUT_OF_RANGE' });
    t.throws(() => writeFrom(fd, piece, start, lengthBytes, 0), { code: 'ERR_OUT_OF_RANGE' });
  }
  t.end();
});
