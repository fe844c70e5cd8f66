/**
 * Power fails at every write of an encryption that makes room for its header, from the first on: what is left is the plain
 * data, or can be gone on from, and gives it.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { Device } from '../../lib/device.js';
import { findReadableHeader, readHeader } from '../../lib/format/header.js';
import { findShiftedEncryption } from '../../lib/format/reencryption-shift.js';
import { isInReencryption } from '../../lib/format/requirements.js';
import { openVolume } from '../../lib/volume/open.js';
import { openShiftedEncryption, runShiftedEncryption } from '../../lib/volume/reencrypt-shift.js';
import { beginShiftedEncryption, restoreSpareHeader } from '../../lib/volume/reencrypt-shift-begin.js';
import { cutImages, recordWrites } from '../kit/cuts.js';
import { makeTempDir } from '../kit/temp.js';

const passphrase = Buffer.from('a passphrase');
const KiB = 1024;
const REDUCTION_BYTES = 1024 * KiB;
const SHIFT_BYTES = REDUCTION_BYTES / 2;
/** Two whole steps, a shorter one, and the head. */
const DATA_BYTES = 3 * SHIFT_BYTES + 12 * KiB;

async function begin(payload: string): Promise<void> {
  const pbkdf = { type: 'pbkdf2', forceIterations: 1000 } as const;
  await beginShiftedEncryption(payload, REDUCTION_BYTES, passphrase, { pbkdf, overwrite: true });
}

/** A volume can be opened in the middle as well: the header tells. */
function isEnded(payload: string): boolean {
  const device = Device.open(payload, { isReadOnly: true });
  try {
    const header = findReadableHeader(device);
    return header !== null && !isInReencryption(header);
  } finally {
    device.close();
  }
}

/** As encrypt --resume-only does. */
async function resume(payload: string): Promise<void> {
  // With nothing unfinished there is no header to be put in its place.
  if (!isEnded(payload)) await restoreSpareHeader(payload, REDUCTION_BYTES);
  const device = Device.open(payload, { isReadOnly: false });
  try {
    const shifted = findShiftedEncryption(readHeader(device));
    if (!shifted) return;
    const target = await openShiftedEncryption(device, shifted, { passphrase });
    await runShiftedEncryption(target);
    for (const key of target.keys.values()) key.destroy();
  } finally {
    device.close();
  }
}

async function readPlaintext(payload: string): Promise<Buffer> {
  const volume = await openVolume(payload, { passphrase }, { isReadOnly: true });
  const plaintext = Buffer.alloc(DATA_BYTES);
  volume.read(plaintext, 0);
  volume.close();
  return plaintext;
}

/** Everything is rewritten as each cut leaves it, and gone on with. */
async function checkCuts(t: Test, run: (payload: string) => Promise<void>, isBegun: boolean): Promise<void> {
  const payload = path.join(makeTempDir(t), 'payload');
  fs.writeFileSync(payload, randomBytes(DATA_BYTES + REDUCTION_BYTES));
  const plaintext = fs.readFileSync(payload).subarray(0, DATA_BYTES);
  if (isBegun) await begin(payload);
  const before = fs.readFileSync(payload);
  const writes = await recordWrites(payload, () => run(payload));
  const image = Buffer.from(before);
  let count = 0;
  for (const [index, write] of writes.entries()) {
    for (const cut of cutImages(image, [write])) {
      if (!cut.isMajor) continue;
      count += 1;
      fs.writeFileSync(payload, cut.image);
      const isPlain = cut.image.subarray(0, DATA_BYTES).equals(plaintext);
      if (isPlain) continue;
      await resume(payload);
      if (!(await readPlaintext(payload)).equals(plaintext)) t.fail(`write ${index}, ${cut.name}: lost`);
    }
    write.bytes.copy(image, write.offsetBytes);
  }
  t.ok(count > 10, `${count} cuts of ${writes.length} writes`);
}

t.test('while it begins', (t) => checkCuts(t, begin, false));
t.test('while it runs', (t) => checkCuts(t, resume, true));

t.test('a header of the usual size is put in its place from the spare one', async (t) => {
  const payload = path.join(makeTempDir(t), 'payload');
  const plaintext = randomBytes(17 * KiB * KiB);
  const usualBytes = 32 * KiB * KiB;
  fs.writeFileSync(payload, plaintext);
  fs.truncateSync(payload, plaintext.length + usualBytes);
  const before = fs.readFileSync(payload);
  const pbkdf = { type: 'pbkdf2', forceIterations: 1000 } as const;
  const writes = await recordWrites(payload, () =>
    beginShiftedEncryption(payload, usualBytes, passphrase, { pbkdf, overwrite: true }).then(() => {}),
  );
  const begun = fs.readFileSync(payload);
  // All but the two copies of the metadata.
  for (const { offsetBytes, bytes } of writes.slice(0, -2)) bytes.copy(before, offsetBytes);
  fs.writeFileSync(payload, before);
  await restoreSpareHeader(payload, usualBytes);
  t.ok(fs.readFileSync(payload).equals(begun), 'as it was begun');
  before[512] = before[512]! ^ 1;
  fs.writeFileSync(payload, before);
  await restoreSpareHeader(payload, usualBytes);
  t.ok(fs.readFileSync(payload).equals(before), 'but not over what is kept nowhere else');
});
