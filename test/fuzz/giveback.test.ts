/**
 * Headers in a file of their own, with a decryption under way that gives back their room on the payload, made by somebody
 * who means harm but has no key: opening ends in a LuksError and touches nothing, or in the decryption that the owner began;
 * going on with that ends in a LuksError or its end.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { destroyKeys } from '../../lib/crypto/secret.js';
import { Device } from '../../lib/device.js';
import { readHeader } from '../../lib/format/header.js';
import { findGiveback, type Giveback } from '../../lib/format/reencryption-giveback.js';
import { formatVolume } from '../../lib/volume/create.js';
import { openGiveback, runGiveback } from '../../lib/volume/reencrypt-giveback.js';
import { beginGiveback } from '../../lib/volume/reencrypt-giveback-begin.js';
import { fuzz } from '../kit/fuzz.js';
import { FUZZ_UNLOCK, type FuzzedVolume, stopAfter, withDevices } from '../kit/fuzzed-volume.js';
import { structured } from '../kit/json-edits.js';
import { makeTempDir } from '../kit/temp.js';

const { passphrase } = FUZZ_UNLOCK;
const SHIFT_BYTES = 512 * 1024;
const DATA_BYTES = 48 * 1024;
const ZONE_BYTES = 16 * 1024;

type Case = FuzzedVolume<Giveback>;

/** Runs what the files say is begun, to its end or for so many zones. */
async function run(header: Device, payload: Device, zones = Number.POSITIVE_INFINITY): Promise<void> {
  const target = await openGiveback(header, payload, FUZZ_UNLOCK);
  const isStopped = stopAfter(zones);
  await runGiveback(target, { zoneBytes: ZONE_BYTES, isStopped }).finally(() => destroyKeys(target.keys));
}

/** Begun and gone on with for so many zones; null for not even a copied head. */
async function makeCase(t: Test, resilience: 'checksum' | 'journal', zones: number | null): Promise<Case> {
  const dir = makeTempDir(t);
  const files = { header: path.join(dir, 'header'), payload: path.join(dir, 'payload') };
  fs.writeFileSync(files.payload, randomBytes(SHIFT_BYTES + DATA_BYTES));
  await formatVolume({ payload: files.payload }, passphrase, {
    pbkdf: { type: 'pbkdf2', forceIterations: 1000 },
    keyslotsSizeBytes: SHIFT_BYTES - 32 * 1024,
    offsetBytes: SHIFT_BYTES,
    overwrite: true,
  });
  const payload = Device.open(files.payload, { isReadOnly: false });
  await beginGiveback(payload, files.header, { passphrase }, { resilience, zoneBytes: ZONE_BYTES });
  payload.close();
  if (zones !== null) await withDevices(files, (header, payload) => run(header, payload, zones));
  const begun = await withDevices(files, async (header) => findGiveback(readHeader(header))!);
  return { ...files, image: fs.readFileSync(files.header), data: fs.readFileSync(files.payload), begun };
}

/** What the digest vouches for: all but the numbers that the header gives its objects, and sectors of plaintext. */
function meaningOf(giveback: Giveback): string {
  const { keyslot, previousDigest, finalDigest, previous, final, moved, ...plan } = giveback;
  const sides = [previous, final, moved].map(({ id, flags, ivTweak, sectorSizeBytes, ...side }) =>
    side.type === 'crypt' ? [side, sectorSizeBytes] : [side],
  );
  return JSON.stringify([plan, ...sides]);
}

/** Looks at the header, and goes on with what it says where it says what was begun. */
async function attempt(each: Case, image: Buffer): Promise<void> {
  fs.writeFileSync(each.header, image);
  fs.writeFileSync(each.payload, each.data);
  let isBelieved = false;
  try {
    await withDevices(
      each,
      async (header, payload) => {
        const { giveback, keys } = await openGiveback(header, payload, FUZZ_UNLOCK);
        isBelieved = keys.size > 0;
        destroyKeys(keys);
        if (isBelieved && meaningOf(giveback) !== meaningOf(each.begun)) {
          throw new Error(`another decryption than was begun: ${meaningOf(giveback)}`);
        }
      },
      { isReadOnly: true },
    );
    await withDevices(each, (header, payload) => run(header, payload));
  } finally {
    const isTouched = !fs.readFileSync(each.payload).equals(each.data);
    const what = 'the payload was written to by a record that nothing vouches for';
    // biome-ignore lint/correctness/noUnsafeFinally: what it says matters more than a refusal that came too late
    if (isTouched && !isBelieved) throw new Error(what);
  }
}

for (const [resilience, zones] of [
  ['checksum', null],
  ['checksum', 1],
  ['journal', 2],
] as const) {
  t.test(`${resilience}, ${zones ?? 'no'} zone done: structured changes of the JSON`, async (t) => {
    const each = await makeCase(t, resilience, zones);
    await fuzz(t, structured(each.image), (image) => attempt(each, image));
  });
}
