/**
 * Headers that ask for more time or memory than anybody has: refused at once, by every command that unlocks, with an
 * error that says how to insist; and what insisting cannot change.
 */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { MemoryDevice } from '../../lib/device.js';
import { readHeader } from '../../lib/format/header.js';
import { verifyVolumeKey } from '../../lib/keyslot/digest.js';
import { openKeyslot } from '../../lib/keyslot/open.js';
import { formatVolume } from '../../lib/volume/create.js';
import { type LooseJson, withJson } from '../kit/luks2-image.js';
import { luksfuse } from '../kit/luksfuse.js';
import { makeTempDir } from '../kit/temp.js';

const MiB = 1024 * 1024;
const PASSPHRASE = Buffer.from('x');
/** The process is killed then, by `run`: a refusal takes no time worth mentioning. */
const PATIENCE_MS = 15_000;

interface Files {
  header: string;
  payload: string;
  keyFile: string;
  image: Buffer;
}

async function makeHeader(t: Test, version: 1 | 2, keyslotsSizeBytes = MiB): Promise<Files> {
  const dir = makeTempDir(t);
  const [header, payload, keyFile] = ['header', 'payload', 'key'].map((name) => path.join(dir, name)) as [
    string,
    string,
    string,
  ];
  fs.writeFileSync(payload, Buffer.alloc(65536));
  fs.writeFileSync(keyFile, PASSPHRASE);
  const pbkdf = { type: 'pbkdf2', forceIterations: 1000 } as const;
  const sizes = version === 2 ? { keyslotsSizeBytes } : {};
  await formatVolume({ header, payload }, PASSPHRASE, { version, pbkdf, ...sizes });
  return { header, payload, keyFile, image: fs.readFileSync(header) };
}

const argon2 = (costs: object) => ({
  type: 'argon2id',
  salt: 'AAAA',
  time: 4,
  memory: 32,
  cpus: 1,
  ...costs,
});

/** What a keyslot or digest may ask for beyond reason. */
const DEMANDS: Record<string, (json: LooseJson) => void> = {
  'iterations of a keyslot': ({ keyslots }) => (keyslots[0].kdf.iterations = 2 ** 32 - 1),
  'iterations of a digest': ({ digests }) => (digests[0].iterations = 2 ** 32 - 1),
  'passes of argon2': ({ keyslots }) => (keyslots[0].kdf = argon2({ time: 2 ** 32 - 1, memory: 1024 })),
  'memory of argon2': ({ keyslots }) => (keyslots[0].kdf = argon2({ memory: 2 ** 32 - 1 })),
  'lanes of argon2': ({ keyslots }) => (keyslots[0].kdf = argon2({ memory: 4 * MiB, cpus: 2 ** 32 - 1 })),
  'a derived key of 4 GiB': ({ keyslots }) => (keyslots[0].area.key_size = 2 ** 32 - 1),
  'a derived key of 1 MiB, many times over': ({ keyslots }) => {
    keyslots[0].area.key_size = MiB;
    keyslots[0].kdf.iterations = 1_000_000;
  },
  'a digest as long as the header': ({ digests }) => {
    digests[0].digest = Buffer.alloc(6000).toString('base64');
    digests[0].iterations = 10_000_000;
  },
  'a hundred million stripes': ({ keyslots }) => {
    keyslots[0].area.size = String(127 * MiB);
    keyslots[0].af.stripes = 127 * MiB;
    keyslots[0].key_size = 1;
  },
  'a volume key of 32 KiB': ({ keyslots }) => {
    keyslots[0].area.size = String(127 * MiB);
    keyslots[0].key_size = 32768;
  },
};

t.test('keyslots that ask for too much', async (t) => {
  const { image } = await makeHeader(t, 2, 128 * MiB);
  for (const [name, demand] of Object.entries(DEMANDS)) {
    const device = new MemoryDevice(withJson(image, demand), name);
    const start = process.cpuUsage();
    await t.rejects(
      async () => openKeyslot(device, readHeader(device), PASSPHRASE),
      { name: 'LuksError' },
      name,
    );
    const { user, system } = process.cpuUsage(start);
    t.ok(user + system < 5e6, `${name}: within five seconds`);
  }
});

const UNLOCKING = {
  'test-key': ({ header }: Files) => [header],
  cat: ({ header, payload }: Files) => ['--header', header, payload],
  write: ({ header, payload }: Files) => ['--header', header, payload],
  mount: ({ header, payload }: Files) => ['--header', header, payload, path.dirname(header)],
  'add-key': ({ header, keyFile }: Files) => ['--new-key-file', keyFile, header],
  'change-key': ({ header, keyFile }: Files) => ['--new-key-file', keyFile, header],
  'remove-key': ({ header }: Files) => [header],
};

for (const [command, argsOf] of Object.entries(UNLOCKING)) {
  t.test(`${command}: the limits, and --force-kdf-limits`, async (t) => {
    const files = await makeHeader(t, 2);
    const refusal = async (demand: (json: LooseJson) => void, ...options: string[]) => {
      fs.writeFileSync(files.header, withJson(files.image, demand));
      const args = [command, '--key-file', files.keyFile, ...options, ...argsOf(files)];
      const { code, stderr } = await luksfuse(args, { timeoutMs: PATIENCE_MS });
      return `${code}: ${stderr}`;
    };
    const iterations = DEMANDS['iterations of a keyslot']!;
    const memory = DEMANDS['memory of argon2']!;
    t.match(await refusal(iterations), /^4: .*4294967295 iterations.*--force-kdf-limits/);
    t.match(await refusal(DEMANDS['passes of argon2']!), /^4: .*4294967295 passes.*--force-kdf-limits/);
    t.match(await refusal(memory), /^4: .*4\.0 TiB of memory.*--force-kdf-limits/);
    t.match(
      await refusal(memory, '--force-kdf-limits'),
      /^3: .*are free; free some/,
      'it reaches the machine',
    );
    t.match(
      await refusal(iterations, '--force-kdf-limits'),
      /^4: .*4294967295 iterations, more than can be computed/,
    );
  });
}

t.test('LUKS1: iterations of keyslot and digest', async (t) => {
  const files = await makeHeader(t, 1);
  for (const offsetBytes of [208 + 4, 164]) {
    const image = Buffer.from(files.image);
    image.writeUInt32BE(2 ** 32 - 1, offsetBytes);
    fs.writeFileSync(files.header, image);
    const args = ['test-key', '--key-file', files.keyFile, files.header];
    const { code, stderr } = await luksfuse(args, { timeoutMs: PATIENCE_MS });
    t.match(`${code}: ${stderr}`, /^4: .*4294967295 iterations.*--force-kdf-limits/);
  }
});

/** A header with `count` keyslots of this KDF besides number 0, which the passphrase opens at once. */
function withKeyslots(image: Buffer, count: number, kdf: object): Buffer {
  return withJson(image, ({ keyslots, digests }) => {
    const area = keyslots[0].area;
    for (let id = 1; id <= count; id += 1) {
      const offset = String(Number(area.offset) + Number(area.size) + id * 4096);
      const af = { ...keyslots[0].af, stripes: 1 };
      keyslots[id] = { ...keyslots[0], kdf, af, area: { ...area, offset, size: '4096' } };
      digests[0].keyslots.push(String(id));
    }
  });
}

const PBKDF2 = (iterations: number) => ({ type: 'pbkdf2', hash: 'sha256', salt: 'AAAA', iterations });
const GiB_IN_KIB = 1024 * 1024;

for (const [command, argsOf] of Object.entries(UNLOCKING)) {
  t.test(`${command}: keyslots that are dear only together`, async (t) => {
    const files = await makeHeader(t, 2);
    const attempt = async (kdf: object, ...options: string[]) => {
      fs.writeFileSync(files.header, withKeyslots(files.image, 20, kdf));
      const args = [command, '--key-file', files.keyFile, ...options, ...argsOf(files)];
      const { code, stderr } = await luksfuse(args, { timeoutMs: PATIENCE_MS });
      return `${code}: ${stderr}`;
    };
    const refused =
      /^4: .*digests to try ask together for .* times.*--force-kdf-limits, or for one keyslot --key-slot/;
    t.match(await attempt(PBKDF2(200_000_000)), refused);
    t.match(await attempt(argon2({ time: 900, memory: GiB_IN_KIB })), refused);
    if (command !== 'test-key') return;
    t.match(await attempt(PBKDF2(200_000_000), '--key-slot', '0'), /^0: /, 'one alone');
    t.match(await attempt(PBKDF2(200_000_000), '--force-kdf-limits'), /^0: /, 'insisted on');
  });
}

t.test('as many keyslots as there can be, as dear as real ones', async (t) => {
  const { image } = await makeHeader(t, 2);
  for (const kdf of [argon2({ time: 10, memory: GiB_IN_KIB }), PBKDF2(8_000_000)]) {
    const device = new MemoryDevice(withKeyslots(image, 31, kdf), 'real');
    const opened = await openKeyslot(device, readHeader(device), PASSPHRASE);
    t.equal(opened?.keyslot, 0);
    opened?.volumeKey.destroy();
  }
});

t.test('digests that are dear only together', async (t) => {
  const { image } = await makeHeader(t, 2);
  const dear = withJson(image, ({ segments, digests }) => {
    digests[0].iterations = 400_000_000;
    for (let id = 1; id < 8; id += 1) {
      digests[id] = { ...digests[0], keyslots: [], segments: [String(id)] };
      segments[id] = { ...segments[0], size: '4096', offset: String(id * 4096) };
    }
    segments[0].size = '4096';
  });
  const device = new MemoryDevice(dear, 'digests');
  const refusal = { code: 'UNSUPPORTED', message: /ask together for/ };
  await t.rejects(verifyVolumeKey(readHeader(device), Buffer.alloc(64)), refusal);
});

t.test('LUKS1: keyslots that are dear only together', async (t) => {
  const files = await makeHeader(t, 1);
  const image = Buffer.from(files.image);
  for (let id = 1; id < 8; id += 1) {
    image.writeUInt32BE(0x00ac71f3, 208 + id * 48);
    image.writeUInt32BE(200_000_000, 208 + id * 48 + 4);
  }
  fs.writeFileSync(files.header, image);
  const test = ['test-key', '--key-file', files.keyFile, files.header];
  const { code, stderr } = await luksfuse(test, { timeoutMs: PATIENCE_MS });
  t.match(`${code}: ${stderr}`, /^4: .*ask together for/);
  t.equal((await luksfuse([...test, '-S', '0'], { timeoutMs: PATIENCE_MS })).code, 0);
});
