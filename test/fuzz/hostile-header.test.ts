/**
 * Headers made by somebody who means harm, used for all that headers are used for: read, shown, unlocked, laid out on
 * a payload, backed up, repaired, converted and changed.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import type { KdfLimits } from '../../lib/crypto/kdf.js';
import { Device, MemoryDevice } from '../../lib/device.js';
import { previewRestore } from '../../lib/format/backup.js';
import { convertHeader } from '../../lib/format/convert.js';
import { describeHeader, headerText } from '../../lib/format/describe.js';
import { readHeader } from '../../lib/format/header.js';
import { repairHeader } from '../../lib/format/repair.js';
import { addToken, configure, keyringToken } from '../../lib/format/settings.js';
import { listKeyringTokens } from '../../lib/keyslot/keyring-token.js';
import { changeKey, killSlot, removeKey } from '../../lib/keyslot/keys.js';
import { openKeyslot } from '../../lib/keyslot/open.js';
import { findMispairing } from '../../lib/keyslot/pairing.js';
import { formatVolume } from '../../lib/volume/create.js';
import { layoutVolume } from '../../lib/volume/layout.js';
import { fuzz, mutated } from '../kit/fuzz.js';
import { structured, withText } from '../kit/json-edits.js';
import { fixChecksum, hdrSizeOf, type LooseJson, readJson, withJson } from '../kit/luks2-image.js';
import { makeTempDir } from '../kit/temp.js';

const PASSPHRASE = Buffer.from('x');
/** Low, so that what is let through is done at once; that the real ones hold is costs.test.ts. */
const LIMITS: KdfLimits = { pbkdf2Iterations: 20_000, argon2MemoryKiB: 4096, argon2WorkKiB: 16384 };

interface Files {
  header: string;
  payload: string;
  image: Buffer;
}

async function makeHeader(t: Test, version: 1 | 2): Promise<Files> {
  const dir = makeTempDir(t);
  const [header, payload] = [path.join(dir, 'header'), path.join(dir, 'payload')];
  fs.writeFileSync(payload, randomBytes(65536));
  const pbkdf = { type: 'pbkdf2', forceIterations: 1000 } as const;
  const sizes = version === 2 ? { keyslotsSizeBytes: 524288 } : {};
  await formatVolume({ header, payload }, PASSPHRASE, { version, pbkdf, ...sizes });
  return { header, payload, image: fs.readFileSync(header) };
}

function withDevices<T>(files: Files, isReadOnly: boolean, use: (header: Device, payload: Device) => T): T {
  const header = Device.open(files.header, { isReadOnly });
  const payload = Device.open(files.payload, { isReadOnly: true });
  try {
    return use(header, payload);
  } finally {
    header.close();
    payload.close();
  }
}

/** All that only reads. */
async function readAll(image: Buffer, files: Files): Promise<void> {
  const device = new MemoryDevice(Buffer.from(image), 'fuzzed');
  const header = readHeader(device);
  JSON.stringify([describeHeader(header), headerText(header), listKeyringTokens(header)]);
  withDevices(files, true, (_, payload) => {
    findMispairing(header, PASSPHRASE, payload);
    layoutVolume(header, payload, { allowNullCipher: true });
  });
  const opened = await openKeyslot(device, header, PASSPHRASE, {
    limits: LIMITS,
    allowNullCipher: true,
    includeUnbound: true,
  });
  opened?.volumeKey.destroy();
}

type Change = (device: Device) => Promise<unknown>;
const unlock = { limits: LIMITS };
const pbkdf = { type: 'pbkdf2', forceIterations: 1000 } as const;

const CHANGES: readonly Change[] = [
  async (device) => repairHeader(device),
  (device) => convertHeader(device, 1),
  (device) => convertHeader(device, 2),
  (device) => killSlot(device, 0, { force: true }),
  (device) => removeKey(device, PASSPHRASE, { force: true, unlock }),
  (device) => changeKey(device, PASSPHRASE, Buffer.from('y'), { pbkdf, unlock }),
  (device) => configure(device, { label: 'l', flags: ['allow-discards'] }),
  (device) => addToken(device, keyringToken('x', [0])),
];

async function changeAll(image: Buffer, files: Files, which: number): Promise<void> {
  fs.writeFileSync(files.header, image);
  const device = Device.open(files.header, { isReadOnly: false });
  try {
    if (which === CHANGES.length) previewRestore(device, device);
    else await CHANGES[which]!(device);
  } finally {
    device.close();
  }
}

/** What broke once. */
const FOUND: readonly ((json: LooseJson) => void)[] = [
  ({ segments }) => Object.assign(segments[0], { type: 'of nobody', iv_tweak: 'AAAA' }),
];

t.test('LUKS2: what broke once', async (t) => {
  const files = await makeHeader(t, 2);
  for (const edit of FOUND)
    await t.rejects(readAll(withJson(files.image, edit), files), { name: 'LuksError' });
});

t.test('LUKS2: structured changes of the JSON', async (t) => {
  const files = await makeHeader(t, 2);
  await fuzz(t, structured(files.image), (image) => readAll(image, files));
});

t.test('LUKS2: commands on changed JSON', async (t) => {
  const files = await makeHeader(t, 2);
  const cases = fc.tuple(structured(files.image), fc.nat({ max: CHANGES.length }));
  await fuzz(t, cases, ([image, which]) => changeAll(image, files, which));
});

t.test('LUKS2: bytes of the JSON text', async (t) => {
  const files = await makeHeader(t, 2);
  const text = Buffer.from(JSON.stringify(readJson(files.image)));
  const nested = fc
    .tuple(fc.constantFrom('[', '{"a":', '"\\u'), fc.nat({ max: 12_000 }))
    .map(([part, count]) => Buffer.from(part.repeat(count)));
  const texts = fc.oneof(
    { weight: 9, arbitrary: mutated(text, fc.nat({ max: text.length })) },
    { weight: 1, arbitrary: nested },
  );
  await fuzz(t, texts, (bytes) => readAll(withText(files.image, bytes), files));
});

for (const version of [1, 2] as const) {
  t.test(`LUKS${version}: bytes of the binary header, the file cut anywhere`, async (t) => {
    const files = await makeHeader(t, version);
    const at = fc.oneof(fc.nat({ max: version === 1 ? 1023 : 512 }), fc.nat({ max: files.image.length }));
    const length = fc.option(fc.nat({ max: files.image.length }), { nil: files.image.length, freq: 5 });
    const isFixed = fc.boolean();
    const which = fc.nat({ max: CHANGES.length });
    await fuzz(
      t,
      fc.tuple(mutated(files.image, at), length, isFixed, which),
      async ([image, size, fixed, change]) => {
        // A checksum that is right leads further in.
        if (version === 2 && fixed && hdrSizeOf(image) === hdrSizeOf(files.image)) fixChecksum(image, 0);
        await changeAll(image.subarray(0, size), files, change);
        await readAll(image.subarray(0, size), files);
      },
    );
  });
}
