/**
 * Headers with a reencryption under way, made by somebody who means harm but has no key: opening ends in a LuksError and
 * touches nothing, or in the reencryption that the owner began; going on with that ends in a LuksError or its end.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { Device } from '../../lib/device.js';
import { LuksError } from '../../lib/errors.js';
import { readHeader } from '../../lib/format/header.js';
import { type Reencryption, type Resilience, requireReencryption } from '../../lib/format/reencryption.js';
import { runReencryption } from '../../lib/volume/reencrypt.js';
import { beginDecryption, beginEncryption, beginReencryption } from '../../lib/volume/reencrypt-begin.js';
import { openReencryption } from '../../lib/volume/reencrypt-open.js';
import { fuzz } from '../kit/fuzz.js';
import { FUZZ_UNLOCK, type FuzzedVolume, stopAfter, withDevices } from '../kit/fuzzed-volume.js';
import { structured } from '../kit/json-edits.js';
import { type LooseJson, withJson } from '../kit/luks2-image.js';
import { makeTempDir } from '../kit/temp.js';

const { passphrase } = FUZZ_UNLOCK;
const pbkdf = { type: 'pbkdf2', forceIterations: 1000 } as const;
const SIZE_BYTES = 64 * 1024;
const ZONE_BYTES = 16 * 1024;

type Case = FuzzedVolume<Reencryption>;

/** Runs what the files say is begun, to its end or for so many zones. */
async function run(header: Device, payload: Device, zones = Number.POSITIVE_INFINITY): Promise<void> {
  const target = await openReencryption(header, payload, FUZZ_UNLOCK);
  const isStopped = stopAfter(zones);
  try {
    await runReencryption(target, { zoneBytes: ZONE_BYTES, isStopped });
  } finally {
    for (const key of target.keys.values()) key.destroy();
  }
}

type Begin = (header: Device, payload: Device, how: { resilience: Resilience }) => Promise<void>;

const LATER: Readonly<Record<string, Begin>> = {
  decrypt: (header, payload, how) => beginDecryption(header, payload, { passphrase }, how),
  reencrypt: (header, payload, how) => beginReencryption(header, payload, { passphrase }, { ...how, pbkdf }),
  'other sectors': (header, payload, how) =>
    beginReencryption(header, payload, { passphrase }, { ...how, keepsKey: true, sectorSizeBytes: 512 }),
};

/** Leaves a hot zone: what would rewrite it cannot write. */
async function leaveHot(files: { header: string; payload: string }): Promise<void> {
  const header = Device.open(files.header, { isReadOnly: false });
  const payload = Device.open(files.payload, { isReadOnly: true });
  try {
    await run(header, payload, 1);
  } catch (error) {
    if (readHeader(header).segments.some(({ flags }) => flags.includes('in-reencryption'))) return;
    throw error;
  } finally {
    header.close();
    payload.close();
  }
}

async function makeCase(t: Test, mode: string, resilience: Resilience): Promise<Case> {
  const dir = makeTempDir(t);
  const files = { header: path.join(dir, 'header'), payload: path.join(dir, 'payload') };
  fs.writeFileSync(files.payload, randomBytes(SIZE_BYTES));
  const how = { resilience };
  const small = { pbkdf, keyslotsSizeBytes: 1024 * 1024, sectorSizeBytes: 4096 };
  await beginEncryption(files, passphrase, { ...small, ...how });
  await withDevices(files, async (header, payload) => {
    if (mode !== 'encrypt') {
      await run(header, payload);
      await LATER[mode]!(header, payload, how);
    }
    await run(header, payload, 1);
  });
  await leaveHot(files);
  const begun = await withDevices(files, async (header) => requireReencryption(readHeader(header)));
  return { ...files, image: fs.readFileSync(files.header), data: fs.readFileSync(files.payload), begun };
}

/** What the digest vouches for: all but the numbers that the header gives its objects, and sectors of plaintext. */
function meaningOf({ keyslot, previousDigest, finalDigest, previous, final, ...plan }: Reencryption): string {
  const sides = [previous, final].map(({ id, flags, ivTweak, sectorSizeBytes, ...side }) =>
    side.type === 'crypt' ? [side, sectorSizeBytes] : [side],
  );
  return JSON.stringify([plan, ...sides]);
}

/** Looks at the header, and goes on with what it says where it says what was begun. */
async function attempt(each: Case, image: Buffer): Promise<void> {
  fs.writeFileSync(each.header, image);
  fs.writeFileSync(each.payload, each.data);
  const isNotYetDone = await withDevices(
    each,
    async (header, payload) => {
      const { reencryption, state, keys } = await openReencryption(header, payload, FUZZ_UNLOCK);
      for (const key of keys.values()) key.destroy();
      const isDone = state.doneBytes === state.totalBytes;
      if (isDone || meaningOf(reencryption) === meaningOf(each.begun)) return !isDone;
      throw new Error(`another reencryption than was begun: ${meaningOf(reencryption)}`);
    },
    { isReadOnly: true },
  );
  try {
    await withDevices(each, (header, payload) => run(header, payload));
  } finally {
    const isTouched = !fs.readFileSync(each.payload).equals(each.data);
    // biome-ignore lint/correctness/noUnsafeFinally: what it says matters more than a refusal that came too late
    if (isTouched && !isNotYetDone) throw new Error('the payload was written to, though all of it was done');
  }
}

const MODES = ['encrypt', ...Object.keys(LATER)];

for (const mode of MODES) {
  for (const resilience of ['checksum', 'journal'] as const) {
    t.test(`${mode}, ${resilience}: structured changes of the JSON`, async (t) => {
      const each = await makeCase(t, mode, resilience);
      await fuzz(t, structured(each.image), (image) => attempt(each, image));
    });
  }
}

/** Each edit of the one kind of member that the work is planned by. */
const PLANNED: readonly ((json: LooseJson, value: LooseJson) => void)[] = [
  ...['offset', 'size', 'type', 'hash', 'sector_size'].map((name) => (json: LooseJson, value: LooseJson) => {
    json.keyslots[reencryptSlot(json)].area[name] = value;
  }),
  ...['mode', 'direction', 'key_size', 'priority'].map((name) => (json: LooseJson, value: LooseJson) => {
    json.keyslots[reencryptSlot(json)][name] = value;
  }),
  ...['offset', 'size', 'iv_tweak', 'sector_size', 'flags', 'type', 'encryption'].flatMap((name) =>
    [0, 1, 2, 3].map((at) => (json: LooseJson, value: LooseJson) => {
      if (json.segments[at]) json.segments[at][name] = value;
    }),
  ),
  (json, value) => {
    json.config.requirements = value;
  },
  (json, value) => {
    json.config.requirements = { mandatory: value };
  },
];

function reencryptSlot(json: LooseJson): string {
  return Object.keys(json.keyslots).find((id) => json.keyslots[id].type === 'reencrypt')!;
}

const VALUES: readonly LooseJson[] = [
  ...['0', '512', '4096', '16384', '65536', '1048576', '134217728', '18446744073709551615', '-1', 'dynamic'],
  ...[0, 1, 511, 512, 1024, 2048, 4096, 65_536, 2 ** 31, 2 ** 32, -1, 0.5, null, '', [], {}, ['x']],
  ...['none', 'checksum', 'journal', 'datashift', 'encrypt', 'reencrypt', 'decrypt', 'forward', 'backward'],
  ...['sha1', 'sha512', 'md5', 'no-such-hash', 'linear', 'crypt', 'aes-xts-plain64', 'cipher_null-ecb'],
  ...[
    ['in-reencryption'],
    ['backup-final'],
    ['backup-previous'],
    ['online-reencrypt-v2'],
    ['online-reencrypt'],
  ],
];

t.test('members that the work is planned by', async (t) => {
  const cases = await Promise.all([makeCase(t, 'encrypt', 'checksum'), makeCase(t, 'reencrypt', 'journal')]);
  const edit = fc.tuple(fc.constantFrom(...PLANNED), fc.constantFrom(...VALUES));
  const edits = fc.array(edit, { minLength: 1, maxLength: 3 });
  await fuzz(t, fc.tuple(fc.constantFrom(...cases), edits), ([each, list]) => {
    const image = withJson(each.image, (json) => {
      for (const [apply, value] of list) apply(json, structuredClone(value));
    });
    return attempt(each, image);
  });
});

t.test('a side that is encrypted, but with no key that is named', async (t) => {
  const each = await makeCase(t, 'other sectors', 'checksum');
  const image = withJson(each.image, (json) => {
    const last = String(Object.keys(json.segments).length - 1);
    for (const digest of Object.values<LooseJson>(json.digests)) {
      digest.segments = digest.segments.filter((id: string) => id !== last);
    }
  });
  await t.rejects(attempt(each, image), { constructor: LuksError, code: 'HEADER_CORRUPT' });
  t.ok(fs.readFileSync(each.payload).equals(each.data), 'nothing was written');
});
