import fc from 'fast-check';
import t from 'tap';
import { areaPlaces, decodeLuks1, encodeLuks1 } from '../../../lib/format/luks1.js';

/** A header made field by field from the LUKS1 specification, section 2.3. */
function makeHeader(options: { active?: number[]; keyBytes?: number; firstSector?: number } = {}): Buffer {
  const { active = [0], keyBytes = 32, firstSector = 8 } = options;
  const bytes = Buffer.alloc(1024);
  bytes.write('LUKS\xba\xbe', 'latin1');
  bytes.writeUInt16BE(1, 6);
  bytes.write('aes', 8);
  bytes.write('xts-plain64', 40);
  bytes.write('sha256', 72);
  bytes.writeUInt32BE(4096, 104);
  bytes.writeUInt32BE(keyBytes, 108);
  bytes.fill(0xd1, 112, 132);
  bytes.fill(0x5a, 132, 164);
  bytes.writeUInt32BE(1000, 164);
  bytes.write('11111111-2222-3333-4444-555555555555', 168);
  const stepSectors = Math.ceil((keyBytes * 4000) / 4096) * 8;
  for (let slot = 0; slot < 8; slot += 1) {
    const at = 208 + slot * 48;
    bytes.writeUInt32BE(active.includes(slot) ? 0x00ac71f3 : 0x0000dead, at);
    if (active.includes(slot)) {
      bytes.writeUInt32BE(2000 + slot, at + 4);
      bytes.fill(slot + 1, at + 8, at + 40);
    }
    bytes.writeUInt32BE(firstSector + slot * stepSectors, at + 40);
    bytes.writeUInt32BE(4000, at + 44);
  }
  return bytes;
}

t.test('the logical model of a LUKS1 header', async (t) => {
  const header = decodeLuks1(makeHeader({ active: [0, 3], keyBytes: 64 }));
  t.match(header, {
    version: 1,
    uuid: '11111111-2222-3333-4444-555555555555',
    label: '',
    headerSizeBytes: 2068480,
    config: { requirements: [], flags: [] },
  });
  t.strictSame([...header.keyslots.keys()], [0, 3]);
  t.strictSame(header.keyslots.get(3), {
    type: 'luks2',
    keySizeBytes: 64,
    priority: 1,
    area: {
      type: 'raw',
      offsetBytes: (8 + 3 * 504) * 512,
      sizeBytes: 258048,
      encryption: 'aes-xts-plain64',
      keySizeBytes: 64,
    },
    af: { stripes: 4000, hash: 'sha256' },
    kdf: { type: 'pbkdf2', hash: 'sha256', iterations: 2003, salt: Buffer.alloc(32, 4) },
  });
  t.strictSame(header.segments, [
    {
      id: 0,
      type: 'crypt',
      offsetBytes: 2097152,
      sizeBytes: 'dynamic',
      ivTweak: 0n,
      encryption: 'aes-xts-plain64',
      sectorSizeBytes: 512,
      flags: [],
      integrity: null,
    },
  ]);
  t.strictSame(header.digests.get(0), {
    type: 'pbkdf2',
    keyslots: [0, 3],
    segments: [0],
    hash: 'sha256',
    iterations: 1000,
    salt: Buffer.alloc(32, 0x5a),
    digest: Buffer.alloc(20, 0xd1),
  });
});

t.test('encode undoes decode', async () => {
  const arbitrary = fc.record({
    active: fc.uniqueArray(fc.integer({ min: 0, max: 7 })),
    keyBytes: fc.constantFrom(16, 24, 32, 48, 64),
    firstSector: fc.integer({ min: 2, max: 4096 }),
  });
  fc.assert(
    fc.property(arbitrary, (options) => {
      const bytes = makeHeader(options);
      return encodeLuks1(decodeLuks1(bytes)).equals(bytes);
    }),
  );
});

t.test('areas that are not aligned to 4 KiB, as the first versions wrote them, may touch', async (t) => {
  const offsets = Array.from({ length: 8 }, (_, slot) => (8 + slot * 125) * 512);
  t.strictSame(areaPlaces(offsets, 16)[1], { offsetBytes: 133 * 512, sizeBytes: 64000 });
});

t.test('what breaks a rule is refused with its reason', async (t) => {
  const rows: [string, (bytes: Buffer) => unknown, RegExp][] = [
    ['cipher name', (b) => b.fill(0x61, 8, 40), /cipher name is not a NUL-terminated/],
    ['cipher mode', (b) => b.fill(0x61, 40, 72), /cipher mode is not/],
    ['hash', (b) => b.fill(0x61, 72, 104), /hash is not/],
    ['control character', (b) => b.write('a\x1b[1m', 8), /cipher name/],
    ['UUID', (b) => b.fill(0x61, 168, 208), /UUID/],
    ['no key', (b) => b.writeUInt32BE(0, 108), /key has 0 bytes/],
    ['huge key', (b) => b.writeUInt32BE(0xffffffff, 108), /key has 4294967295 bytes/],
    ['digest iterations', (b) => b.writeUInt32BE(0, 164), /digest has 0 iterations/],
    ['slot iterations', (b) => b.writeUInt32BE(0, 212), /keyslot 0 has 0 iterations/],
    ['stripes', (b) => b.writeUInt32BE(3999, 252), /3999 stripes/],
    ['state', (b) => b.writeUInt32BE(1, 208 + 48), /keyslot 1 is neither/],
    ['in the header', (b) => b.writeUInt32BE(1, 248), /keyslot 0 overlaps the header/],
    ['on another', (b) => b.writeUInt32BE(8, 248 + 48), /keyslots? .*overlap/],
  ];
  for (const [name, damage, reason] of rows) {
    const bytes = makeHeader();
    damage(bytes);
    t.throws(() => decodeLuks1(bytes), { code: 'HEADER_CORRUPT', message: reason }, name);
  }
});
