/**
 * Offsets past 2 TiB and past 2^32 sectors, on a sparse payload of 20 TiB: what lies on the disk after
 * writes through the mount is exactly what one-sector-at-a-time encryption by node:crypto makes of it.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { cryptsetup } from '../kit/cryptsetup.js';
import { mountVolume, mustLuksfuse, unlockArgs } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { type SectorReference, sectorReference } from '../kit/sector-reference.js';
import { makeTempDir } from '../kit/temp.js';

const TiB = 1024 ** 4;
const SIZE_BYTES = 20 * TiB;
const OFFSETS = [
  2 ** 31 - 1000,
  2 ** 32 - 5,
  2 * TiB - 700, // across sector 2^32 of 512 bytes
  2 * TiB + 4096 * 3 + 1,
  8 * TiB,
  16 * TiB - 3000, // across sector 2^32 of 4096 bytes
  SIZE_BYTES - 10_000,
];
const LENGTH = 10_000;

const ROWS = [
  { cipher: 'aes-xts-plain64', keyBytes: 64, sectorSizeBytes: 512 },
  { cipher: 'aes-xts-plain64', keyBytes: 64, sectorSizeBytes: 4096 },
  { cipher: 'aes-xts-plain', keyBytes: 32, sectorSizeBytes: 512 },
  { cipher: 'aes-cbc-essiv:sha256', keyBytes: 32, sectorSizeBytes: 512 },
  { cipher: 'aes-cbc-plain', keyBytes: 32, sectorSizeBytes: 4096 },
];

/** The whole sectors around an extent of the payload, through `turn` one by one. */
function turnSectors(
  bytes: Buffer,
  startBytes: number,
  sectorSizeBytes: number,
  turn: SectorReference['encrypt'],
) {
  const sectors = [];
  for (let at = 0; at < bytes.length; at += sectorSizeBytes) {
    const ivSector = BigInt(startBytes + at) / 512n;
    sectors.push(turn(bytes.subarray(at, at + sectorSizeBytes), ivSector));
  }
  return Buffer.concat(sectors);
}

function readExtent(file: string, offset: number, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  const fd = fs.openSync(file, 'r');
  try {
    fs.readSync(fd, buffer, 0, length, offset);
  } finally {
    fs.closeSync(fd);
  }
  return buffer;
}

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });

for (const { cipher, keyBytes, sectorSizeBytes } of ROWS) {
  t.test(`${cipher}, sectors of ${sectorSizeBytes}`, { skip }, async (t) => {
    const dir = makeTempDir(t);
    const file = (name: string) => path.join(dir, name);
    const volume = { header: file('header'), payload: file('payload'), keyFile: file('key') };
    const volumeKey = randomBytes(keyBytes);
    fs.writeFileSync(volume.keyFile, 'key');
    fs.writeFileSync(file('volume-key'), volumeKey);
    fs.writeFileSync(volume.payload, '');
    fs.truncateSync(volume.payload, SIZE_BYTES);
    const cipherArgs = [
      '--cipher',
      cipher,
      '--key-size',
      `${keyBytes * 8}`,
      '--sector-size',
      `${sectorSizeBytes}`,
    ];
    const keyArgs = ['--key-file', volume.keyFile, '--volume-key-file', file('volume-key')];
    const kdfArgs = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
    const headerArgs = ['--type', 'luks2', '--header', volume.header];
    await cryptsetup('luksFormat', ...headerArgs, ...cipherArgs, ...keyArgs, ...kdfArgs, volume.payload);

    const reference = sectorReference(cipher, volumeKey);
    const extents = OFFSETS.map((offset) => {
      const start = offset - (offset % sectorSizeBytes);
      const end = Math.ceil((offset + LENGTH) / sectorSizeBytes) * sectorSizeBytes;
      const data = randomBytes(LENGTH);
      const hole = Buffer.alloc(end - start); // the payload is sparse: its ciphertext is all zeros
      const plaintext = turnSectors(hole, start, sectorSizeBytes, reference.decrypt);
      return { offset, start, data, before: Buffer.from(plaintext), after: plaintext };
    });
    for (const { offset, start, data, after } of extents) data.copy(after, offset - start);

    const mount = await mountVolume(t, volume);
    t.equal(fs.statSync(mount.file).size, SIZE_BYTES);
    const fd = fs.openSync(mount.file, 'r+');
    for (const { offset, start, data, before } of extents) {
      t.ok(readExtent(mount.file, start, before.length).equals(before), `read at ${start}`);
      t.equal(fs.writeSync(fd, data, 0, LENGTH, offset), LENGTH, `written at ${offset}`);
    }
    fs.fsyncSync(fd);
    fs.closeSync(fd);
    await mount.umount();

    for (const { offset, start, data, after } of extents) {
      const onDisk = readExtent(volume.payload, start, after.length);
      const expected = turnSectors(after, start, sectorSizeBytes, reference.encrypt);
      t.ok(onDisk.equals(expected), `ciphertext at ${start}`);
      const window = ['--offset', `${offset}`, '--length', `${LENGTH}`];
      const cat = await mustLuksfuse(['cat', ...unlockArgs(volume), ...window, volume.payload]);
      t.ok(cat.stdout.equals(data), `cat at ${offset}`);
    }
  });
}
