import { createCipheriv, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { Secret } from '../../../lib/crypto/secret.js';
import { Device } from '../../../lib/device.js';
import type { SegmentLayout, VolumeLayout } from '../../../lib/volume/layout.js';
import { Volume } from '../../../lib/volume/volume.js';

const KEY = randomBytes(64);

/** XTS as IEEE 1619 has it, one sector at a time by node:crypto: the independent word on what lies on disk. */
function encryptSector(plaintext: Buffer, ivSector: bigint): Buffer {
  const iv = Buffer.alloc(16);
  iv.writeBigUInt64LE(BigInt.asUintN(64, ivSector));
  return createCipheriv('aes-256-xts', KEY, iv).update(plaintext);
}

const TWO_SEGMENTS: SegmentLayout[] = [
  {
    startBytes: 0,
    sizeBytes: 8 * 512,
    deviceOffsetBytes: 512,
    ivTweak: 7n,
    encryption: 'aes-xts-plain64',
    digest: 0,
    sectorSizeBytes: 512,
  },
  {
    startBytes: 8 * 512,
    sizeBytes: 5 * 4096,
    deviceOffsetBytes: 16384,
    ivTweak: 2n ** 64n - 8n,
    encryption: 'aes-xts-plain64',
    digest: 0,
    sectorSizeBytes: 4096,
  },
];
const PLAINTEXT_BYTES = 8 * 512 + 5 * 4096;
const WHOLE: VolumeLayout = {
  segments: TWO_SEGMENTS,
  windowOffsetBytes: 0,
  sizeBytes: PLAINTEXT_BYTES,
  allowsDiscards: false,
  reencryption: null,
};

function openOn(file: string, layout: Partial<VolumeLayout> = {}, isReadOnly = false): Volume {
  const device = Device.open(file, { isReadOnly });
  return Volume.create(device, { ...WHOLE, ...layout }, new Map([[0, Secret.takeFrom(Buffer.from(KEY))]]));
}

function newPayload(t: { testdir(): string }): string {
  const file = path.join(t.testdir(), 'payload');
  fs.writeFileSync(file, Buffer.alloc(64 * 1024));
  return file;
}

t.test('random reads and writes agree with a plain buffer, and the disk with IEEE 1619', async (t) => {
  const file = newPayload(t);
  const volume = openOn(file);
  const model = Buffer.alloc(PLAINTEXT_BYTES);
  volume.zeroRange(0, PLAINTEXT_BYTES);
  const ioBuffer = Volume.allocateIoBuffer(PLAINTEXT_BYTES);
  for (let round = 0; round < 2000; round++) {
    const offset = Math.floor(Math.random() * PLAINTEXT_BYTES);
    const length = 1 + Math.floor(Math.random() * Math.min(6000, PLAINTEXT_BYTES - offset));
    if (Math.random() < 0.5) {
      const bytes = randomBytes(length);
      bytes.copy(model, offset);
      const own = ioBuffer.subarray(0, length);
      own.set(bytes);
      volume.write(round % 2 ? own : bytes, offset);
      if (round % 2 === 0) t.ok(model.subarray(offset, offset + length).equals(bytes), 'left as it was');
    } else {
      const target = round % 2 ? ioBuffer.subarray(0, length) : Buffer.alloc(length);
      if (volume.read(target, offset) !== length) t.fail('short read');
      if (!model.subarray(offset, offset + length).equals(target))
        t.fail(`round ${round}: ${offset}+${length}`);
    }
  }
  volume.close();
  const disk = fs.readFileSync(file);
  for (const { startBytes, sizeBytes, deviceOffsetBytes, ivTweak, sectorSizeBytes } of TWO_SEGMENTS) {
    for (let at = 0; at < sizeBytes; at += sectorSizeBytes) {
      const plaintext = model.subarray(startBytes + at, startBytes + at + sectorSizeBytes);
      const expected = encryptSector(plaintext, ivTweak + BigInt(at / 512));
      const found = disk.subarray(deviceOffsetBytes + at, deviceOffsetBytes + at + sectorSizeBytes);
      t.ok(found.equals(expected), `sector at ${startBytes + at}`);
    }
  }
  t.ok(disk.subarray(0, 512).equals(Buffer.alloc(512)), 'nothing before the first segment');
  t.ok(disk.subarray(512 + 8 * 512, 16384).equals(Buffer.alloc(16384 - 9 * 512)), 'nothing between them');
});

t.test('the end: short reads, ENOSPC, nothing written', async (t) => {
  const file = newPayload(t);
  const volume = openOn(file);
  const before = fs.readFileSync(file);
  t.equal(volume.read(Buffer.alloc(1000), PLAINTEXT_BYTES - 10), 10);
  t.equal(volume.read(Buffer.alloc(1000), PLAINTEXT_BYTES), 0);
  t.equal(volume.read(Buffer.alloc(1000), PLAINTEXT_BYTES + 1e6), 0);
  t.throws(() => volume.write(Buffer.alloc(11), PLAINTEXT_BYTES - 10), { code: 'ENOSPC' });
  t.throws(() => volume.zeroRange(PLAINTEXT_BYTES, 1), { code: 'ENOSPC' });
  t.throws(() => volume.write(Buffer.alloc(1), -1), { code: 'BAD_ARGUMENT' });
  t.throws(() => volume.write(Buffer.alloc(1), 0.5), { code: 'BAD_ARGUMENT' });
  t.ok(before.equals(fs.readFileSync(file)));
  volume.close();
});

t.test('a window is a part of the plaintext with an end of its own', async (t) => {
  const file = newPayload(t);
  const volume = openOn(file);
  const bytes = randomBytes(PLAINTEXT_BYTES);
  volume.write(bytes, 0);
  volume.close();
  const window = openOn(file, { windowOffsetBytes: 4096, sizeBytes: 8192 });
  const seen = Buffer.alloc(10000);
  t.equal(window.read(seen, 0), 8192);
  t.ok(bytes.subarray(4096, 4096 + 8192).equals(seen.subarray(0, 8192)));
  t.throws(() => window.write(Buffer.alloc(2), 8191), { code: 'ENOSPC' });
  window.close();
});

t.test('a discard gives whole sectors back and makes zeros of parts, across segments', async (t) => {
  const file = newPayload(t);
  const volume = openOn(file, { allowsDiscards: true });
  const bytes = randomBytes(PLAINTEXT_BYTES);
  volume.write(bytes, 0);
  const [start, end] = [6 * 512 + 100, 8 * 512 + 4096 + 200]; // into sector 6 of the one, 1 of the other segment
  volume.discard(start, end - start);
  const seen = Buffer.alloc(PLAINTEXT_BYTES);
  volume.read(seen, 0);
  t.ok(seen.subarray(0, start).equals(bytes.subarray(0, start)), 'what is before stays');
  t.ok(seen.subarray(end).equals(bytes.subarray(end)), 'and what is behind');
  for (const [from, to] of [
    [start, 7 * 512],
    [8 * 512 + 4096, end],
  ] as const) {
    t.ok(
      seen.subarray(from, to).every((byte) => byte === 0),
      `the part ${from} to ${to} of a sector is zeros`,
    );
  }
  const disk = fs.readFileSync(file);
  const isHole = (at: number, length: number) => disk.subarray(at, at + length).every((byte) => byte === 0);
  t.ok(isHole(512 + 7 * 512, 512) && isHole(16384, 4096), 'the whole sectors have no ciphertext any more');
  volume.discard(1, 10);
  t.ok(
    fs
      .readFileSync(file)
      .subarray(512, 1024)
      .some((byte) => byte !== 0),
    'a range within one is no hole',
  );
  t.throws(() => volume.discard(PLAINTEXT_BYTES - 1, 2), { code: 'ENOSPC' });
  volume.close();
});

t.test('a discard is refused where it was not allowed', async (t) => {
  const volume = openOn(newPayload(t));
  t.throws(() => volume.discard(0, 4096), { code: 'EOPNOTSUPP' });
  volume.close();
});

t.test('read-only refuses to write; a payload that shrank gives EIO, not short data', async (t) => {
  const file = newPayload(t);
  const readOnly = openOn(file, {}, true);
  t.throws(() => readOnly.write(Buffer.alloc(1), 0), { code: 'EROFS' });
  t.throws(() => readOnly.zeroRange(0, 512), { code: 'EROFS' });
  t.throws(() => readOnly.discard(0, 512), { code: 'EROFS' });
  readOnly.close();
  const volume = openOn(file);
  fs.truncateSync(file, 20000);
  t.throws(() => volume.read(Buffer.alloc(100), PLAINTEXT_BYTES - 100), { code: 'EIO' });
  volume.close();
});

t.test('a closed volume has wiped its key', async (t) => {
  const key = Secret.takeFrom(Buffer.from(KEY));
  t.ok(key.isLocked, 'kept out of swap and core dumps');
  const device = Device.open(newPayload(t), { isReadOnly: false });
  const volume = Volume.create(device, WHOLE, new Map([[0, key]]));
  const shared = Volume.fromHandle(volume.handle);
  shared.write(Buffer.from('from a borrower'), 5000);
  const seen = Buffer.alloc(15);
  volume.read(seen, 5000);
  t.equal(seen.toString(), 'from a borrower');
  shared.close();
  volume.close();
  t.throws(() => fs.fstatSync(device.fd), { code: 'EBADF' });
});

t.test('behind the end there is nothing', async (t) => {
  const volume = openOn(newPayload(t), { windowOffsetBytes: 512, sizeBytes: 4096 });
  t.equal(volume.read(Buffer.alloc(10), 5000), 0);
  volume.close();
});

t.test('what fails gives back what it took', async (t) => {
  const file = newPayload(t);
  const volume = openOn(file);
  t.teardown(() => volume.close());
  const unknown = { ...TWO_SEGMENTS[1]!, encryption: 'rot13-xts-plain64' };
  const handle = {
    ...volume.handle,
    layout: { ...volume.handle.layout, segments: [TWO_SEGMENTS[0]!, unknown] },
  };
  // More often than there are slots in its range lock.
  for (let tries = 0; tries < 200; tries++)
    t.throws(() => Volume.fromHandle(handle), { code: 'UNSUPPORTED' });
  const other = Volume.fromHandle(volume.handle);
  t.teardown(() => other.close());

  fs.truncateSync(file, 0);
  for (const offsetBytes of [0, 100, 8 * 512]) {
    t.throws(() => volume.read(Buffer.alloc(8192), offsetBytes), { code: 'EIO' });
    t.throws(() => volume.write(Buffer.alloc(100), offsetBytes + 10), { code: 'EIO' });
  }
  // Would wait for ever if one of those had kept its range.
  other.write(Buffer.alloc(PLAINTEXT_BYTES, 5), 0);
  const all = Buffer.alloc(PLAINTEXT_BYTES);
  other.read(all, 0);
  t.ok(all.equals(Buffer.alloc(PLAINTEXT_BYTES, 5)));
});
