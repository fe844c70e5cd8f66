/**
 * Power fails at every write of a decryption that gives back the room of its header, from the first on: what is left is
 * the volume as it was, or can be gone on from, and gives the plaintext. `--all` also tries every way in which a write can
 * be torn between its sectors.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { destroyKeys } from '../../lib/crypto/secret.js';
import { Device } from '../../lib/device.js';
import { applySteps, planKeyslotWipes } from '../../lib/format/change.js';
import { withoutKeyslots } from '../../lib/format/edit.js';
import { readHeader } from '../../lib/format/header.js';
import type { LuksHeader } from '../../lib/format/model.js';
import { findGiveback, withMovedHead } from '../../lib/format/reencryption-giveback.js';
import { withShiftedParts } from '../../lib/format/reencryption-shift.js';
import { isInReencryption } from '../../lib/format/requirements.js';
import { planCopy, planMetadata } from '../../lib/format/write.js';
import { formatVolume } from '../../lib/volume/create.js';
import { openVolume } from '../../lib/volume/open.js';
import { givebackBeginning, openGiveback, runGiveback } from '../../lib/volume/reencrypt-giveback.js';
import { beginGiveback } from '../../lib/volume/reencrypt-giveback-begin.js';
import { givebackPartsOf } from '../../lib/volume/reencrypt-giveback-parts.js';
import { cutImages, type FileWrite, recordFileWrites } from '../kit/cuts.js';
import { makeTempDir } from '../kit/temp.js';

const isThorough = process.argv.includes('--all');
const passphrase = Buffer.from('a passphrase');
const KiB = 1024;
/** All of a small header. */
const SHIFT_BYTES = 512 * KiB;
const ZONE_BYTES = 128 * KiB;

interface Files {
  header: string;
  payload: string;
}

async function withFiles(
  { header, payload }: Files,
  use: (header: Device, payload: Device) => Promise<void>,
): Promise<void> {
  const devices = [header, payload].map((file) => Device.open(file, { isReadOnly: false }));
  try {
    await use(devices[0]!, devices[1]!);
  } finally {
    for (const device of devices) device.close();
  }
}

/** As decrypt --resume-only does; nothing where it has ended. */
function resume(files: Files): Promise<void> {
  return withFiles(files, async (device, payload) => {
    if (!isInReencryption(readHeader(device))) return;
    const target = await openGiveback(device, payload, { passphrase });
    await runGiveback(target, { zoneBytes: ZONE_BYTES }).finally(() => destroyKeys(target.keys));
  });
}

async function makeVolume(payload: string, plaintext: Buffer, sectorSizeBytes: number): Promise<void> {
  fs.writeFileSync(payload, Buffer.alloc(SHIFT_BYTES + plaintext.length));
  await formatVolume({ payload }, passphrase, {
    pbkdf: { type: 'pbkdf2', forceIterations: 1000 },
    keyslotsSizeBytes: SHIFT_BYTES - 32 * KiB,
    offsetBytes: SHIFT_BYTES,
    sectorSizeBytes,
  });
  const volume = await openVolume(payload, { passphrase });
  volume.write(plaintext, 0);
  volume.close();
}

/** Each state that a cut within one of the writes leaves in both files. */
function* cutStates(files: Files, writes: readonly FileWrite[]) {
  const images = new Map([files.header, files.payload].map((file) => [file, fs.readFileSync(file)]));
  for (const [index, write] of writes.entries()) {
    const image = images.get(write.path)!;
    const other = write.path === files.header ? files.payload : files.header;
    for (const cut of cutImages(image, [write])) {
      // Storage tears between sectors, never within one; only the head is rewritten where it is.
      const isTear = / of which /.test(cut.name);
      const isHead = write.path === files.payload && write.offsetBytes === 0;
      const isWanted = cut.isMajor || (isTear && (isThorough || isHead));
      if (!isWanted) continue;
      fs.writeFileSync(write.path, cut.image);
      fs.writeFileSync(other, images.get(other)!);
      yield `write ${index} to the ${path.basename(write.path)}, ${cut.name}`;
    }
    write.bytes.copy(image, write.offsetBytes);
  }
}

async function checkCuts(
  t: Test,
  dataBytes: number,
  sectorSizeBytes: number,
  resilience: 'checksum' | 'journal',
  prepare: (payload: Device) => void = () => {},
): Promise<void> {
  const dir = makeTempDir(t);
  const files = { header: path.join(dir, 'header'), payload: path.join(dir, 'payload') };
  const plaintext = randomBytes(dataBytes);
  await makeVolume(files.payload, plaintext, sectorSizeBytes);
  const payload = Device.open(files.payload, { isReadOnly: false });
  prepare(payload);
  // The head in one step, and no more than a zone.
  await beginGiveback(payload, files.header, { passphrase }, { resilience, zoneBytes: ZONE_BYTES });
  payload.close();
  const before = [files.header, files.payload].map((file) => [file, fs.readFileSync(file)] as const);
  const writes = await recordFileWrites([files.header, files.payload], () => resume(files));
  for (const [file, bytes] of before) fs.writeFileSync(file, bytes);
  let count = 0;
  for (const name of cutStates(files, writes)) {
    count += 1;
    await resume(files);
    const now = fs.readFileSync(files.payload);
    if (!now.subarray(0, dataBytes).equals(plaintext)) t.fail(`${name}: the data is lost`);
  }
  t.ok(count > 30, `${count} cuts of ${writes.length} writes`);
}

const overlapping = SHIFT_BYTES + ZONE_BYTES + 12 * KiB;
for (const resilience of isThorough ? (['checksum', 'journal'] as const) : (['journal'] as const)) {
  t.test(`more data than the header, ${resilience}`, (t) => checkCuts(t, overlapping, 512, resilience));
}
t.test('less data than the header', (t) => checkCuts(t, 2 * ZONE_BYTES - 4 * KiB, 4096, 'checksum'));
/** As a cut between its two copies leaves a header that is being changed. */
function makeObsolete(name: 'primary' | 'secondary'): (payload: Device) => void {
  return (payload) => {
    const header = readHeader(payload);
    const other = name === 'primary' ? 'secondary' : 'primary';
    if (header.disk.version !== 2) return;
    const { offsetBytes, bytes } = planCopy(header, header.disk, other, header.disk.seqid + 1n);
    payload.writeAt(bytes, offsetBytes);
  };
}

for (const name of ['primary', 'secondary'] as const) {
  t.test(`a ${name} copy that is older than the other`, (t) =>
    checkCuts(t, 4 * KiB, 512, 'checksum', makeObsolete(name)),
  );
}
t.test('a head alone', (t) => checkCuts(t, 12 * KiB, 512, 'checksum'));

t.test('a cut while the file is being made: the volume is as it was, and the next try ends it', async (t) => {
  const dir = makeTempDir(t);
  const files = { header: path.join(dir, 'header'), payload: path.join(dir, 'payload') };
  const plaintext = randomBytes(32 * KiB);
  await makeVolume(files.payload, plaintext, 512);
  const before = fs.readFileSync(files.payload);
  const payload = Device.open(files.payload, { isReadOnly: false });
  const { uuid } = readHeader(payload);
  fs.writeFileSync(`${files.header}.${uuid}.partial`, 'its first bytes');
  await beginGiveback(payload, files.header, { passphrase });
  payload.close();
  t.ok(fs.readFileSync(files.payload).equals(before), 'the payload is as it was');
  t.strictSame(fs.readdirSync(dir).toSorted(), ['header', 'payload'], 'what was left is gone');
  await resume(files);
  t.ok(fs.readFileSync(files.payload).subarray(0, plaintext.length).equals(plaintext));
});

/** What cryptsetup leaves when it is killed after the last of the data: all done, and its keys going. */
const LAST_STATES: Readonly<Record<string, (header: LuksHeader, device: Device) => LuksHeader>> = {
  'with its keys': (header) => header,
  'with key material that is wiped': (header, device) => {
    applySteps(device, planKeyslotWipes(header, [0]));
    return header;
  },
  'without its keyslots': (header) => withoutKeyslots(header, [0]),
};

for (const [name, leave] of Object.entries(LAST_STATES)) {
  t.test(`all done, ${name}`, async (t) => {
    const dir = makeTempDir(t);
    const files = { header: path.join(dir, 'header'), payload: path.join(dir, 'payload') };
    const plaintext = randomBytes(32 * KiB);
    await makeVolume(files.payload, plaintext, 512);
    await withFiles({ header: files.payload, payload: files.payload }, (payload) =>
      beginGiveback(payload, files.header, { passphrase }),
    );
    fs.writeFileSync(files.payload, Buffer.concat([plaintext, Buffer.alloc(SHIFT_BYTES, 0xee)]));
    await withFiles(files, async (device, payload) => {
      const header = withMovedHead(readHeader(device));
      const giveback = findGiveback(header)!;
      const totalBytes = payload.sizeBytes - SHIFT_BYTES;
      const state = { ...givebackBeginning(giveback, totalBytes), doneBytes: totalBytes };
      const done = withShiftedParts(header, giveback, givebackPartsOf(state));
      applySteps(device, planMetadata(header, leave(done, device)));
    });
    await resume(files);
    const now = fs.readFileSync(files.payload);
    t.ok(now.subarray(0, plaintext.length).equals(plaintext), 'the data is not touched');
    const isWiped = !now.subarray(plaintext.length).includes(Buffer.alloc(64, 0xee));
    t.equal(isWiped, name === 'with its keys', 'what is behind it is wiped where the record can be believed');
    await withFiles(files, async (device) => {
      t.match(readHeader(device), { keyslots: new Map(), config: { requirements: [] } });
    });
  });
}
