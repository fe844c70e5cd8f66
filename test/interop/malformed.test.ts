/**
 * Headers that break one rule each, made from good ones of cryptsetup's, and the verdict on them: ours
 * against the table, and cryptsetup's against ours.
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { Device } from '../../lib/device.js';
import { LuksError } from '../../lib/errors.js';
import { findHeader } from '../../lib/format/header.js';
import { formatHeader } from '../kit/headers.js';
import {
  fixChecksum,
  hdrSizeOf,
  type LooseJson,
  putJsonText,
  readJson,
  withJson,
} from '../kit/luks2-image.js';
import { skipUnless } from '../kit/requirements.js';
import { run } from '../kit/run.js';
import { makeTempDir } from '../kit/temp.js';

type Verdict = 'accept' | 'none' | 'HEADER_CORRUPT' | 'UNSUPPORTED';

interface Row {
  name: string;
  damage: (image: Buffer) => Buffer;
  ours: Verdict;
  /** Part of our message. */
  message?: RegExp;
  /** Where cryptsetup 2.6 differs, and why. */
  theirs?: { accepts: boolean; because: string };
}

/** In place, on a copy. */
function bytes(edit: (image: Buffer) => unknown): Row['damage'] {
  return (image) => {
    const changed = Buffer.from(image);
    edit(changed);
    return changed;
  };
}

function json(edit: (json: LooseJson) => unknown): Row['damage'] {
  return (image) => withJson(image, edit);
}

function jsonText(text: (json: string, image: Buffer) => string): Row['damage'] {
  return bytes((image) => {
    const good = JSON.stringify(readJson(image));
    for (const offsetBytes of [0, hdrSizeOf(image)]) putJsonText(image, text(good, image), offsetBytes);
  });
}

/** Sets the member at a dotted path: `keyslots.0.kdf.salt`. Undefined deletes it. */
function set(where: string, value: unknown): Row['damage'] {
  return json((document) => {
    const keys = where.split('.');
    const last = keys.pop()!;
    const parent = keys.reduce((object, key) => object[key], document);
    if (value === undefined) delete parent[last];
    else parent[last] = value;
  });
}

function refused(name: string, damage: Row['damage'], message: RegExp, theirs?: Row['theirs']): Row {
  return { name, damage, ours: 'HEADER_CORRUPT', message, ...(theirs && { theirs }) };
}

function accepted(name: string, damage: Row['damage'], theirs?: Row['theirs']): Row {
  return { name, damage, ours: 'accept', ...(theirs && { theirs }) };
}

const LAZY = { accepts: true, because: 'it looks at this only when it uses the keyslot or segment' };
const LENIENT = { accepts: true, because: 'it cuts the name short, and takes any other state for inactive' };
const NEEDS_AREA = { accepts: false, because: '2.6 wants an area in every keyslot' };

const LUKS1_ROWS: Row[] = [
  accepted('untouched', (image) => image),
  { name: 'version 3', damage: bytes((b) => b.writeUInt16BE(3, 6)), ours: 'UNSUPPORTED' },
  { name: 'no magic', damage: bytes((b) => b.write('X')), ours: 'none' },
  refused(
    'cipher name without NUL',
    bytes((b) => b.fill(0x61, 8, 40)),
    /cipher name/,
    LENIENT,
  ),
  refused(
    'state',
    bytes((b) => b.writeUInt32BE(1, 208)),
    /neither active nor inactive/,
    LENIENT,
  ),
  refused(
    'stripes',
    bytes((b) => b.writeUInt32BE(4001, 252)),
    /4001 stripes/,
  ),
  refused(
    'key in the header',
    bytes((b) => b.writeUInt32BE(1, 248)),
    /overlaps the header/,
  ),
  refused(
    'keyslots on each other',
    bytes((b) => b.writeUInt32BE(9, 296)),
    /overlap/,
  ),
  refused(
    'keyslot behind the end',
    bytes((b) => b.writeUInt32BE(0xffffff00, 248)),
    /truncated/,
  ),
  refused('truncated key material', (image) => image.subarray(0, image.length - 4096), /truncated/),
  refused('truncated header', (image) => image.subarray(0, 600), /truncated/),
];

const LUKS2_JSON_ROWS: Row[] = [
  accepted('untouched', (image) => image),
  accepted('unknown member', set('future', { a: 1 })),
  accepted('unknown flag', set('config.flags', ['some-future-flag'])),
  accepted('unknown requirement', set('config.requirements', { mandatory: ['some-future'] })),
  accepted('unknown token type', set('tokens.0', { type: 'acme', keyslots: ['0'], x: 1 })),
  accepted('unknown keyslot type', set('keyslots.5', { type: 'acme', key_size: 3 }), NEEDS_AREA),
  accepted('unknown kdf', set('keyslots.0.kdf', { type: 'acme', x: 1, salt: 'AAAA' })),
  refused(
    'not an object',
    jsonText(() => '[]'),
    /does not begin/,
  ),
  refused(
    'cut JSON',
    jsonText((text) => text.slice(0, -1)),
    /malformed/,
  ),
  refused(
    'bytes behind it',
    jsonText((text) => `${text}\0x`),
    /behind the end/,
  ),
  refused(
    'no NUL',
    jsonText((text, image) => text.padEnd(hdrSizeOf(image) - 4096)),
    /NUL/,
  ),
  refused(
    'deep',
    jsonText((text) => `{"a":${'['.repeat(99)}${']'.repeat(99)},${text.slice(1)}`),
    /nested/,
  ),
  refused('no tokens', set('tokens', undefined), /"tokens"/),
  refused('section of another type', set('keyslots', []), /"keyslots"/),
  refused('id no number', set('tokens.x', { type: 'a', keyslots: [] }), /"x" is no possible id/),
  refused('json_size', set('config.json_size', '4096'), /json_size/),
  refused('json_size as number', set('config.json_size', 12288), /json_size/),
  refused('keyslots_size unaligned', set('config.keyslots_size', '16744447'), /multiple of 4096/),
  refused('keyslots_size huge', set('config.keyslots_size', '1073741824'), /128 MiB/),
  refused('keyslot without key_size', set('keyslots.0.key_size', undefined), /key_size/),
  refused('priority 3', set('keyslots.0.priority', 3), /priority/, LAZY),
  refused('keyslot without kdf', set('keyslots.0.kdf', undefined), /kdf/),
  refused('kdf with 5 members', set('keyslots.0.kdf.extra', 1), /unknown member "extra"/, LAZY),
  refused('iterations 0', set('keyslots.0.kdf.iterations', 0), /iterations/, LAZY),
  refused('iterations text', set('keyslots.0.kdf.iterations', '1000'), /iterations/),
  refused('salt no base64', set('keyslots.0.kdf.salt', '???'), /salt/, LAZY),
  refused('af without hash', set('keyslots.0.af.hash', undefined), /hash/),
  refused('af of another type', set('keyslots.0.af.type', 'luks9'), /af of keyslot 0/),
  refused('area without encryption', set('keyslots.0.area.encryption', undefined), /encryption/),
  refused('area offset negative', set('keyslots.0.area.offset', '-1'), /offset/),
  refused('area in the header', set('keyslots.0.area.offset', '4096'), /overlaps the header/),
  refused('area outside', set('keyslots.0.area.offset', '16777216'), /behind the keyslots area/),
  refused('area at 2^64', set('keyslots.0.area.offset', '18446744073709551615'), /2\^53/),
  refused('area too small', set('keyslots.0.area.size', '4096'), /too small/, LAZY),
  refused('keyslot in no digest', set('digests.0.keyslots', []), /0 digests/),
  refused('digest with unknown keyslot', set('digests.0.keyslots', ['0', '7']), /keyslot 7/),
  refused('digest with unknown segment', set('digests.0.segments', ['0', '7']), /segment 7/),
  refused('digest without salt', set('digests.0.salt', undefined), /salt/, LAZY),
  refused('token with unknown keyslot', set('tokens.0', { type: 'a', keyslots: ['9'] }), /keyslot 9/),
  refused('token without keyslots', set('tokens.0', { type: 'a' }), /keyslots/),
  refused('segment in no digest', set('digests.0.segments', []), /belongs to no digest/),
  refused('segment unaligned', set('segments.0.offset', '100'), /multiple of 512/),
  refused('segment size 0', set('segments.0.size', '0'), /multiple of its sectors/),
  refused('segment size text', set('segments.0.size', 'huge'), /size/),
  refused('sector size 3000', set('segments.0.sector_size', 3000), /sector_size/),
  refused('sector size 8192', set('segments.0.sector_size', 8192), /sector_size/, LAZY),
  refused('iv_tweak missing', set('segments.0.iv_tweak', undefined), /iv_tweak/),
  refused(
    'keyslot in two digests',
    json((j) => {
      j.digests['1'] = structuredClone(j.digests['0']);
    }),
    /2 digests/,
  ),
  refused(
    'areas overlap',
    json((j) => {
      j.keyslots['1'] = structuredClone(j.keyslots['0']);
      j.digests['0'].keyslots.push('1');
    }),
    /overlap/,
  ),
  refused(
    'segments not from 0',
    json((j) => {
      j.segments = { 1: j.segments['0'] };
      j.digests['0'].segments = ['1'];
    }),
    /segment 0 is missing/,
  ),
  refused(
    'dynamic before another',
    json((j) => {
      j.segments['1'] = { ...j.segments['0'], offset: '1048576' };
      j.digests['0'].segments.push('1');
    }),
    /is not the last one/,
  ),
  refused(
    'segments overlap',
    json((j) => {
      j.segments['0'].size = '1048576';
      j.segments['1'] = { ...j.segments['0'], offset: '4096' };
      j.digests['0'].segments.push('1');
    }),
    /segments 0 and 1 overlap/,
  ),
  refused(
    'backup segment first',
    json((j) => {
      j.segments['1'] = structuredClone(j.segments['0']);
      j.segments['0'].flags = ['backup-previous'];
      j.digests['0'].segments.push('1');
    }),
    /behind a backup segment/,
  ),
];

function flip(image: Buffer, at: number): void {
  image.writeUInt8(image.readUInt8(at) ^ 1, at);
}

/** Damage to the primary copy where there is no secondary to fall back to. */
function loneCopy(edit: (image: Buffer) => unknown): Row['damage'] {
  return bytes((image) => {
    image.fill(0, hdrSizeOf(image), hdrSizeOf(image) + 8);
    edit(image);
  });
}

const LUKS2_PAIR_ROWS: Row[] = [
  accepted(
    'dead primary',
    bytes((image) => image.fill(0, 0, 4096)),
  ),
  accepted(
    'dead secondary',
    bytes((image) => image.fill(0, 16384, 20480)),
  ),
  accepted(
    'flipped bit in the primary JSON',
    bytes((image) => flip(image, 4100)),
  ),
  accepted(
    'flipped bit in the secondary JSON',
    bytes((image) => flip(image, 16384 + 4100)),
  ),
  { name: 'both dead', damage: bytes((image) => image.fill(0, 0, 32768)), ours: 'none' },
  refused(
    'both flipped',
    bytes((image) => [4100, 16384 + 4100].map((at) => flip(image, at))),
    /both copies/,
  ),
  refused(
    'hdr_size 12345',
    loneCopy((image) => image.writeBigUInt64BE(12345n, 8)),
    /impossible header size/,
  ),
  refused(
    'hdr_offset wrong',
    loneCopy((image) => {
      image.writeBigUInt64BE(512n, 256);
      fixChecksum(image, 0);
    }),
    /claims to lie/,
  ),
  refused(
    'unknown checksum algorithm',
    loneCopy((image) => image.write('nosuchhash', 72)),
    /nosuchhash/,
  ),
  refused('truncated keyslots', (image) => image.subarray(0, 40960), /truncated/),
  refused('truncated JSON', (image) => image.subarray(0, 9000), /truncated/),
  refused('truncated binary header', (image) => image.subarray(0, 512), /truncated/),
];

function verdictOf(file: string): { verdict: Verdict; message: string } {
  const device = Device.open(file, { isReadOnly: true });
  try {
    return { verdict: findHeader(device) ? 'accept' : 'none', message: '' };
  } catch (error) {
    if (!(error instanceof LuksError)) throw error;
    return { verdict: error.code as Verdict, message: error.message };
  } finally {
    device.close();
  }
}

for (const [type, rows] of [
  ['luks1', LUKS1_ROWS],
  ['luks2', [...LUKS2_JSON_ROWS, ...LUKS2_PAIR_ROWS]],
] as const) {
  t.test(`${type}: each rule broken once`, { skip: skipUnless({ tools: ['cryptsetup'] }) }, async (t) => {
    const dir = makeTempDir(t);
    const { header } = await formatHeader(t, type);
    const good = fs.readFileSync(header);
    const file = path.join(dir, 'changed');
    for (const { name, damage, ours, message, theirs } of rows) {
      fs.writeFileSync(file, damage(good));
      const { verdict, message: said } = verdictOf(file);
      t.equal(verdict, ours, `${name}: ${verdict} ${said}`);
      if (message) t.match(said, message, name);
      const { code } = await run('cryptsetup', ['luksDump', file]);
      const accepts = theirs?.accepts ?? ours === 'accept';
      t.equal(
        code === 0,
        accepts,
        `${name}: cryptsetup ${accepts ? 'accepts' : 'refuses'} it ${theirs?.because ?? ''}`,
      );
    }
  });
}
