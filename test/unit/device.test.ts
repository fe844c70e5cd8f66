import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { Device, MemoryDevice } from '../../lib/device.js';

const NO_OFFSETS = [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53];

t.test('offsets that are none are refused, and nothing is read or written', async (t) => {
  const file = path.join(t.testdir(), 'device');
  fs.writeFileSync(file, Buffer.alloc(8192, 1));
  const device = Device.open(file, { isReadOnly: false });
  const memory = new MemoryDevice(Buffer.alloc(8192, 1), 'memory');
  const buffer = Buffer.alloc(512, 2);
  const error = { code: 'BAD_ARGUMENT' };
  for (const offset of NO_OFFSETS) {
    t.throws(() => device.readAt(buffer, offset), error);
    t.throws(() => device.readFullyAt(buffer, offset), error);
    t.throws(() => device.writeAt(buffer, offset), error);
    t.throws(() => device.fallocate(0, offset, 512), error);
    t.throws(() => device.fallocate(0, 0, offset), error);
    t.throws(() => device.discard(offset, 512), error);
    t.throws(() => device.discard(0, offset), error);
    t.throws(() => memory.readAt(buffer, offset), error);
    t.throws(() => memory.readFullyAt(buffer, offset), error);
  }
  t.ok(buffer.equals(Buffer.alloc(512, 2)));
  device.close();
  t.ok(fs.readFileSync(file).equals(Buffer.alloc(8192, 1)));
});

t.test('a memory that is closed has no bytes, not zeros', async (t) => {
  const memory = new MemoryDevice(Buffer.alloc(512, 1), 'memory');
  memory.close();
  memory.close();
  t.throws(() => memory.readAt(Buffer.alloc(16), 0), { code: 'EBADF' });
  t.throws(() => memory.readFullyAt(Buffer.alloc(16), 0), { code: 'EBADF' });
});
