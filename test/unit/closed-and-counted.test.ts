/**
 * The edge of the library: every method of every class that it exports refuses what is closed, whoever has the number of
 * its descriptor by now, and offsets and lengths that are no counts. A method that is not listed here fails the test.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { Secret } from '../../lib/crypto/secret.js';
import * as library from '../../lib/index.js';

const { Device, MemoryDevice, Volume } = library;

const BYTES = 64 * 1024;
const NO_COUNTS = [-1, -512, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '0', undefined] as number[];

interface Use {
  /** What must throw EBADF when `it` is closed. */
  closed?: (it: never) => unknown;
  /** What must throw BAD_ARGUMENT for each of NO_COUNTS. */
  counted?: ((it: never, count: number) => unknown)[];
}

/** Says what is known from the start, or touches nothing behind it. */
const HARMLESS: Use = {};

function reading(name: 'readAt' | 'readFullyAt'): Use {
  type Readable = library.ReadableDevice;
  return {
    closed: (it: Readable) => it[name](Buffer.alloc(0), 0),
    counted: [(it: Readable, count) => it[name](Buffer.alloc(1), count)],
  };
}

function ranged<T>(use: (it: T, offsetBytes: number, lengthBytes: number) => unknown): Use {
  return {
    closed: (it: T) => use(it, 0, 0),
    counted: [(it: T, count: number) => use(it, count, 1), (it: T, count: number) => use(it, 0, count)],
  };
}

const USES: Readonly<Record<string, Readonly<Record<string, Use>>>> = {
  Device: {
    isReadOnly: HARMLESS,
    becomeReadOnly: HARMLESS,
    fd: { closed: (it: library.Device) => it.fd },
    isSameFile: { closed: (it: library.Device) => it.isSameFile(it) },
    handle: { closed: (it: library.Device) => it.handle },
    readAt: reading('readAt'),
    readFullyAt: reading('readFullyAt'),
    writeAt: {
      closed: (it: library.Device) => it.writeAt(Buffer.alloc(0), 0),
      counted: [(it: library.Device, count) => it.writeAt(Buffer.alloc(1), count)],
    },
    sync: { closed: (it: library.Device) => it.sync() },
    fallocate: ranged((it: library.Device, ...range) => it.fallocate(0, ...range)),
    discard: ranged((it: library.Device, ...range) => it.discard(...range)),
    close: HARMLESS,
  },
  MemoryDevice: {
    sizeBytes: HARMLESS,
    readAt: reading('readAt'),
    readFullyAt: reading('readFullyAt'),
    close: HARMLESS,
  },
  Volume: {
    handle: { closed: (it: library.Volume) => it.handle },
    engine: HARMLESS,
    sectorSize: HARMLESS,
    read: {
      closed: (it: library.Volume) => it.read(Buffer.alloc(0), 0),
      counted: [(it: library.Volume, count) => it.read(Buffer.alloc(1), count)],
    },
    write: {
      closed: (it: library.Volume) => it.write(Buffer.alloc(0), 0),
      counted: [(it: library.Volume, count) => it.write(Buffer.alloc(1), count)],
    },
    sync: { closed: (it: library.Volume) => it.sync() },
    zeroRange: ranged((it: library.Volume, ...range) => it.zeroRange(...range)),
    allocate: ranged((it: library.Volume, ...range) => it.allocate(...range)),
    discard: ranged((it: library.Volume, ...range) => it.discard(...range)),
    close: HARMLESS,
  },
  LuksError: { exitCode: HARMLESS },
};

function namesOf(exported: unknown): string[] {
  const { prototype } = exported as { prototype?: object };
  return prototype ? Object.getOwnPropertyNames(prototype).filter((name) => name !== 'constructor') : [];
}

function openAll(file: string) {
  const key = Secret.takeFrom(randomBytes(64));
  const segment = {
    ...{ startBytes: 0, sizeBytes: BYTES, deviceOffsetBytes: 0, ivTweak: 0n },
    ...{ encryption: 'aes-xts-plain64', digest: 0, sectorSizeBytes: 512 },
  };
  // A window with something before it.
  const window = { windowOffsetBytes: 4096, sizeBytes: BYTES - 4096 };
  const layout = { ...window, segments: [segment], allowsDiscards: true, reencryption: null };
  const device = Device.open(file, { isReadOnly: false });
  return {
    Device: Device.open(file, { isReadOnly: false }),
    MemoryDevice: new MemoryDevice(Buffer.alloc(BYTES, 1), 'memory'),
    Volume: Volume.create(device, layout, new Map([[0, key]])),
  };
}

t.test('every method of every class is known here', async (t) => {
  const classes = Object.entries(library).filter(([, exported]) => namesOf(exported).length > 0);
  t.same(classes.map(([name]) => name).sort(), Object.keys(USES).sort());
  for (const [name, exported] of classes)
    t.same(namesOf(exported).sort(), Object.keys(USES[name]!).sort(), name);
});

t.test('what is no count is refused, and nothing is read or written', async (t) => {
  const file = path.join(t.testdir(), 'payload');
  fs.writeFileSync(file, Buffer.alloc(BYTES, 1));
  for (const [name, it] of Object.entries(openAll(file))) {
    for (const [method, { counted = [] }] of Object.entries(USES[name]!))
      for (const call of counted)
        for (const count of NO_COUNTS)
          t.throws(() => call(it as never, count), { code: 'BAD_ARGUMENT' }, `${name}.${method} ${count}`);
    it.close();
  }
  t.ok(fs.readFileSync(file).equals(Buffer.alloc(BYTES, 1)));
});

t.test('closed is closed, whoever has the number of its descriptor by now', async (t) => {
  const file = path.join(t.testdir({ other: '' }), 'payload');
  fs.writeFileSync(file, Buffer.alloc(BYTES, 1));
  const all = openAll(file);
  for (const it of Object.values(all)) it.close();
  const other = path.join(t.testdirName, 'other');
  fs.writeFileSync(other, Buffer.alloc(BYTES, 1));
  const fds = [1, 2, 3].map(() => fs.openSync(other, 'r+'));
  for (const [name, it] of Object.entries(all)) {
    for (const [method, { closed }] of Object.entries(USES[name]!))
      if (closed) t.throws(() => closed(it as never), { code: 'EBADF' }, `${name}.${method}`);
    it.close();
  }
  for (const fd of fds) fs.closeSync(fd);
  t.ok(fs.readFileSync(other).equals(Buffer.alloc(BYTES, 1)));
});

t.test('a buffer for I/O has a size', async (t) => {
  for (const count of NO_COUNTS) {
    t.throws(() => Volume.allocateIoBuffer(count), { code: 'BAD_ARGUMENT' }, `${count}`);
  }
});
