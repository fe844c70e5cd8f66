/**
 * Power fails at every write of an encryption, a reencryption (also with the header attached) and a decryption: what is
 * left can be gone on from, and gives the plaintext. `--all` also tries every way in which a write can be torn between its sectors.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { Device } from '../../lib/device.js';
import { LuksError } from '../../lib/errors.js';
import type { Direction, Resilience } from '../../lib/format/reencryption.js';
import { formatVolume } from '../../lib/volume/create.js';
import { openVolume } from '../../lib/volume/open.js';
import { runReencryption } from '../../lib/volume/reencrypt.js';
import { beginDecryption, beginEncryption, beginReencryption } from '../../lib/volume/reencrypt-begin.js';
import { openReencryption } from '../../lib/volume/reencrypt-open.js';
import { cutImages, type FileWrite, recordFileWrites } from '../kit/cuts.js';
import { makeTempDir } from '../kit/temp.js';

const isThorough = process.argv.includes('--all');
const passphrase = Buffer.from('a passphrase');
const pbkdf = { type: 'pbkdf2', forceIterations: 1000 } as const;
const SIZE_BYTES = 40 * 1024;
const ZONE_BYTES = 16 * 1024;
/** A small header: it is written out again for every cut. */
const HEADER = { pbkdf, keyslotsSizeBytes: 1024 * 1024 };
/** Of a volume whose header is at its start: behind both copies and the keyslots. */
const ATTACHED_DATA_OFFSET_BYTES = 2 * 1024 * 1024;

interface Files {
  /** The payload's where the header is attached. */
  header: string;
  payload: string;
  /** Where the data begins. */
  dataOffsetBytes: number;
}

type Mode = 'encrypt' | 'reencrypt' | 'attached' | 'decrypt';

async function withFiles<T>(
  { header, payload }: Files,
  use: (header: Device, payload: Device) => Promise<T>,
) {
  const payloadDevice = Device.open(payload, { isReadOnly: false });
  const device = header === payload ? payloadDevice : Device.open(header, { isReadOnly: false });
  try {
    return await use(device, payloadDevice);
  } finally {
    for (const each of new Set([device, payloadDevice])) each.close();
  }
}

/** Goes on with what the files say is begun; a header that says nothing of it has ended or not begun. */
function resume(files: Files): Promise<void> {
  return withFiles(files, async (header, payload) => {
    const target = await openReencryption(header, payload, { passphrase }).catch((error) => {
      if (error instanceof LuksError && /no unfinished reencryption/.test(error.message)) return null;
      throw error;
    });
    if (!target) return;
    await runReencryption(target, { zoneBytes: ZONE_BYTES });
    for (const key of target.keys.values()) key.destroy();
  });
}

async function readPlaintext({ header, payload }: Files): Promise<Buffer> {
  const place = header === payload ? {} : { headerPath: header };
  const volume = await openVolume(payload, { passphrase }, { ...place, isReadOnly: true });
  const plaintext = Buffer.alloc(volume.sizeBytes);
  volume.read(plaintext, 0);
  volume.close();
  return plaintext;
}

/** A volume with its header at its start, whose reencryption has begun: all writes go to one file. */
async function beginAttached(
  payload: string,
  plaintext: Buffer,
  how: { resilience: Resilience; direction: Direction },
): Promise<Files> {
  fs.writeFileSync(payload, Buffer.alloc(ATTACHED_DATA_OFFSET_BYTES + SIZE_BYTES));
  await formatVolume({ payload }, passphrase, {
    ...HEADER,
    sectorSizeBytes: 512,
    offsetBytes: ATTACHED_DATA_OFFSET_BYTES,
  });
  const volume = await openVolume(payload, { passphrase });
  volume.write(plaintext, 0);
  volume.close();
  const files = { header: payload, payload, dataOffsetBytes: ATTACHED_DATA_OFFSET_BYTES };
  await withFiles(files, (header, device) =>
    beginReencryption(header, device, { passphrase }, { ...how, pbkdf, sectorSizeBytes: 1024 }),
  );
  return files;
}

/** The files as they are when the mode has begun and nothing is done. */
async function begin(t: Test, mode: Mode, plaintext: Buffer, resilience: Resilience, direction: Direction) {
  const dir = makeTempDir(t);
  const files = { header: path.join(dir, 'header'), payload: path.join(dir, 'payload'), dataOffsetBytes: 0 };
  const how = { resilience, direction };
  if (mode === 'attached') return beginAttached(files.payload, plaintext, how);
  fs.writeFileSync(files.payload, plaintext);
  const isEncryption = mode === 'encrypt';
  const small = { ...HEADER, sectorSizeBytes: isEncryption ? 4096 : 512 };
  await beginEncryption(files, passphrase, { ...small, ...(isEncryption && how) });
  if (isEncryption) return files;
  await resume(files);
  await withFiles(files, (header, payload) =>
    mode === 'decrypt'
      ? beginDecryption(header, payload, { passphrase }, how)
      : beginReencryption(header, payload, { passphrase }, { ...how, pbkdf, sectorSizeBytes: 1024 }),
  );
  return files;
}

/** Each state that a cut within one of the writes leaves in both files. */
function* cutStates(files: Files, before: Map<string, Buffer>, writes: readonly FileWrite[]) {
  const images = new Map([...before].map(([file, bytes]) => [file, Buffer.from(bytes)]));
  for (const [index, write] of writes.entries()) {
    const image = images.get(write.path)!;
    const other = write.path === files.header ? files.payload : files.header;
    const isData = write.path === files.payload && write.offsetBytes >= files.dataOffsetBytes;
    for (const cut of cutImages(image, [write])) {
      // Storage tears between sectors, never within one; a header's checksum tells that too, but its tests are elsewhere.
      const isTear = / of which /.test(cut.name);
      const isWanted = cut.isMajor || (isTear && (isThorough || isData));
      if (!isWanted) continue;
      fs.writeFileSync(write.path, cut.image);
      if (other !== write.path) fs.writeFileSync(other, images.get(other)!);
      yield `write ${index} to the ${path.basename(write.path)}, ${cut.name}`;
    }
    write.bytes.copy(image, write.offsetBytes);
  }
}

async function checkCuts(t: Test, mode: Mode, resilience: Resilience, direction: Direction): Promise<void> {
  const plaintext = randomBytes(SIZE_BYTES);
  const files = await begin(t, mode, plaintext, resilience, direction);
  const before = new Map([files.header, files.payload].map((file) => [file, fs.readFileSync(file)]));
  const writes = await recordFileWrites([files.header, files.payload], () => resume(files));
  let count = 0;
  for (const name of cutStates(files, before, writes)) {
    count += 1;
    await resume(files);
    const now = mode === 'decrypt' ? fs.readFileSync(files.payload) : await readPlaintext(files);
    if (!now.equals(plaintext)) t.fail(`${name}: the data is lost`);
  }
  t.ok(count > 20, `${count} cuts of ${writes.length} writes`);
}

const MODES = ['encrypt', 'reencrypt', 'attached', 'decrypt'] as const;
const [CHECKSUM, JOURNAL] = ['checksum', 'journal'] as const;
const [FORWARD, BACKWARD] = ['forward', 'backward'] as const;
const ALL = [CHECKSUM, JOURNAL].flatMap((resilience) => [
  [resilience, FORWARD] as const,
  [resilience, BACKWARD] as const,
]);
/** The direction changes nothing but the order of the zones. */
const SOME = [
  [CHECKSUM, FORWARD],
  [JOURNAL, BACKWARD],
] as const;

for (const mode of MODES) {
  for (const [resilience, direction] of isThorough ? ALL : SOME) {
    t.test(`${mode}, ${resilience}, ${direction}`, (t) => checkCuts(t, mode, resilience, direction));
  }
}
