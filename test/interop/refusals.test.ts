/**
 * What must not be mounted: the exit code, the reason given, no mount, and no byte changed anywhere.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { makePair, type Pair, writeAt } from '../kit/cryptsetup.js';
import { editJson, type LooseJson } from '../kit/luks2-image.js';
import { luksfuse } from '../kit/luksfuse.js';
import { findMount } from '../kit/mounts.js';
import { sha256 } from '../kit/random.js';
import { skipUnless } from '../kit/requirements.js';

const MiB = 1024 * 1024;
const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });

interface Refusal {
  title: string;
  /** Spoils the pair, or names other files for the command line. */
  spoil?: (pair: Pair) => void;
  args?: (pair: Pair) => string[];
  exits: number[];
  says: RegExp;
}

/** Every file of the pair, told by content. */
function hashFiles(dir: string): Record<string, string> {
  const names = fs.readdirSync(dir).filter((name) => fs.statSync(path.join(dir, name)).isFile());
  return Object.fromEntries(names.map((name) => [name, sha256(fs.readFileSync(path.join(dir, name)))]));
}

async function checkRefusal(t: Test, pair: Pair, refusal: Refusal): Promise<void> {
  refusal.spoil?.(pair);
  const mountpoint = path.join(pair.dir, 'mountpoint');
  fs.mkdirSync(mountpoint);
  const before = hashFiles(pair.dir);
  const args = refusal.args?.(pair) ?? ['--header', pair.headerFile, pair.payload];
  const result = await luksfuse(['mount', '--key-file', pair.keyFile, ...args, mountpoint], {
    timeoutMs: 20_000,
  });
  t.ok(refusal.exits.includes(result.code ?? -1), `exit code ${result.code}: ${result.stderr}`);
  t.match(result.stderr, refusal.says);
  t.match(result.stderr, /^luksfuse: .+/, 'the message names the program');
  t.notMatch(result.stderr, /\n\s+at /, 'no stack trace');
  t.equal(findMount(mountpoint), null, 'nothing is mounted');
  t.strictSame(hashFiles(pair.dir), before, 'no file has changed');
}

const edited = (edit: (metadata: LooseJson) => void) => (pair: Pair) => editJson(pair.headerFile, edit);
const filled = (name: 'headerFile' | 'payload') => (pair: Pair) =>
  fs.writeFileSync(pair[name], randomBytes(fs.statSync(pair[name]).size));
const cutTo = (sizeBytes: number) => (pair: Pair) => fs.truncateSync(pair.headerFile, sizeBytes);

/** Of both versions. */
const COMMON: Refusal[] = [
  { title: 'header is not LUKS', spoil: filled('headerFile'), exits: [4], says: /LUKS/ },
  {
    title: 'payload without a header',
    args: (pair) => [pair.payload],
    exits: [4],
    says: /payload carries no LUKS header; give --header/,
  },
  {
    title: 'header given as payload too',
    args: (pair) => ['--header', pair.headerFile, pair.headerFile],
    exits: [1, 4],
    says: /header/,
  },
  {
    title: 'detached header given as payload',
    args: (pair) => [pair.headerFile],
    exits: [1, 4],
    says: /header/,
  },
  {
    title: 'header and payload exchanged',
    args: (pair) => ['--header', pair.payload, pair.headerFile],
    exits: [1, 4],
    says: /LUKS/,
  },
  {
    title: 'header cut within its first bytes',
    spoil: cutTo(100),
    exits: [4],
    says: /truncated|too short|ends/i,
  },
  {
    title: 'header cut within the keyslots',
    spoil: cutTo(64 * 1024),
    exits: [4],
    says: /truncated|too short|ends/i,
  },
  { title: 'empty header', spoil: cutTo(0), exits: [4], says: /LUKS|truncated|empty/ },
  {
    title: 'no such header',
    args: (pair) => ['--header', `${pair.dir}/none`, pair.payload],
    exits: [4],
    says: /none/,
  },
  {
    title: 'no such payload',
    args: (pair) => ['--header', pair.headerFile, `${pair.dir}/none`],
    exits: [4],
    says: /none/,
  },
  {
    title: 'payload is a directory',
    args: (pair) => ['--header', pair.headerFile, pair.dir],
    exits: [1, 4],
    says: /director|regular file/,
  },
];

const LUKS1: Refusal[] = [
  {
    title: 'unknown version',
    spoil: (p) => writeAt(p.headerFile, Buffer.from([0, 9]), 6),
    exits: [4],
    says: /version/,
  },
  {
    title: 'unknown cipher',
    spoil: (p) => writeAt(p.headerFile, Buffer.from('tea\0'), 8),
    exits: [4],
    says: /tea/,
  },
  {
    title: 'two billion iterations',
    spoil: (p) => writeAt(p.headerFile, Buffer.from([0xff, 0xff, 0xff, 0xff]), 208 + 4), // keyslot 0, iterations
    exits: [4],
    says: /iterations/,
  },
];

const LUKS2: Refusal[] = [
  {
    title: 'both copies dead',
    spoil: (p) => [4096, 20480].map((at) => writeAt(p.headerFile, randomBytes(64), at)),
    exits: [4],
    says: /header|checksum|metadata/i,
  },
  {
    title: 'unknown requirement',
    spoil: edited((json) => {
      json.config.requirements = { mandatory: ['flux-capacitor'] };
    }),
    exits: [4],
    says: /flux-capacitor/,
  },
  {
    title: 'unknown cipher',
    spoil: edited((json) => {
      json.segments['0'].encryption = 'tea-xts-plain64';
    }),
    exits: [4],
    says: /tea/,
  },
  {
    title: 'two billion iterations',
    spoil: edited((json) => {
      json.keyslots['0'].kdf.iterations = 2 ** 31 - 1;
    }),
    exits: [4],
    says: /iterations/,
  },
  {
    title: 'a terabyte for argon2',
    spoil: edited((json) => {
      const salt = json.keyslots['0'].kdf.salt;
      json.keyslots['0'].kdf = { type: 'argon2id', time: 4, memory: 2 ** 30, cpus: 4, salt };
    }),
    exits: [3, 4],
    says: /memory/,
  },
  {
    title: 'sector size that is no power of two',
    spoil: edited((json) => {
      json.segments['0'].sector_size = 1000;
    }),
    exits: [4],
    says: /sector/,
  },
];

for (const type of ['luks1', 'luks2'] as const) {
  for (const refusal of [...COMMON, ...(type === 'luks1' ? LUKS1 : LUKS2)]) {
    t.test(`${type}: ${refusal.title}`, { skip }, async (t) => {
      await checkRefusal(t, await makePair(t, { type, sizeBytes: MiB }), refusal);
    });
  }

  t.test(`${type}: payload smaller than the offset`, { skip }, async (t) => {
    const pair = await makePair(t, { type, sizeBytes: MiB, offsetBytes: 2 * MiB });
    const spoil = (p: Pair) => fs.truncateSync(p.payload, MiB);
    await checkRefusal(t, pair, { title: '', spoil, exits: [1, 4], says: /offset|smaller|payload/ });
  });

  t.test(`${type}: wrong key`, { skip }, async (t) => {
    const pair = await makePair(t, { type, sizeBytes: MiB });
    const spoil = (p: Pair) => fs.writeFileSync(p.keyFile, 'wrong');
    await checkRefusal(t, pair, { title: '', spoil, exits: [2], says: /key/ });
  });

  t.test(`${type}: no such mountpoint`, { skip }, async (t) => {
    const pair = await makePair(t, { type, sizeBytes: MiB });
    const before = hashFiles(pair.dir);
    const args = ['mount', '--header', pair.headerFile, '--key-file', pair.keyFile, pair.payload];
    const result = await luksfuse([...args, `${pair.dir}/nowhere`]);
    t.ok([1, 4].includes(result.code ?? -1), `exit code ${result.code}`);
    t.match(result.stderr, /nowhere/);
    t.strictSame(hashFiles(pair.dir), before, 'no file has changed');
  });
}
