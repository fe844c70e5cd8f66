/**
 * Volumes whose data is moved, to make room for a header or to give it back, used where that was cut short: mounted, read
 * and written at the old place, the moved head and the new place, and ended afterwards by us or by cryptsetup.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { applySteps } from '../../lib/format/change.js';
import { readHeader } from '../../lib/format/header.js';
import { findGiveback, withMovedHead } from '../../lib/format/reencryption-giveback.js';
import { findShiftedEncryption, withShiftedParts } from '../../lib/format/reencryption-shift.js';
import { planMetadata } from '../../lib/format/write.js';
import { givebackBeginning } from '../../lib/volume/reencrypt-giveback.js';
import { beginGiveback } from '../../lib/volume/reencrypt-giveback-begin.js';
import { givebackPartsOf } from '../../lib/volume/reencrypt-giveback-parts.js';
import { beginningOf } from '../../lib/volume/reencrypt-shift.js';
import { shiftedPartsOf } from '../../lib/volume/reencrypt-shift-parts.js';
import { cryptsetup } from '../kit/cryptsetup.js';
import { refuses } from '../kit/header-commands.js';
import { FAST_PBKDF2, read, withDevice } from '../kit/headers.js';
import { killWhen, runAndKill } from '../kit/killed-run.js';
import { luksfuse, mountVolume, mustLuksfuse, PROGRAM } from '../kit/luksfuse.js';
import { editAtRandom } from '../kit/payload-edits.js';
import { Random } from '../kit/random.js';
import { skipUnless } from '../kit/requirements.js';
import { statusOf } from '../kit/serving.js';
import { makeTempDir } from '../kit/temp.js';

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });
const MiB = 1024 * 1024;
const SHIFT_BYTES = MiB;
/** What there is of the plaintext while the work is not done. */
const DATA_BYTES = 40 * MiB + 8192;
const REDUCTION = ['--reduce-device-size', `${(2 * SHIFT_BYTES) / MiB}M`];
const OFFLINE = '--force-offline-reencrypt';
const EDITS = 60;
/** The moved head, the rest, what is done, and three backups. */
const SEGMENTS_IN_THE_MIDDLE = 6;

type Tool = 'ours' | 'cryptsetup';
type Mode = 'encrypt' | 'decrypt';

interface Files {
  mode: Mode;
  /** Null for that of an encryption, at the payload's start. */
  header: string | null;
  payload: string;
  keyFile: string;
  model: Buffer;
}

function makeFiles(t: Test, mode: Mode): Files {
  const dir = makeTempDir(t);
  const [header, payload, keyFile] = ['header', 'payload', 'key'].map((name) => path.join(dir, name));
  const files = { payload: payload!, keyFile: keyFile!, model: randomBytes(DATA_BYTES) };
  fs.writeFileSync(files.keyFile, 'a passphrase');
  return { mode, header: mode === 'encrypt' ? null : header!, ...files };
}

/** Header and key options, and the payload. */
function args({ header, payload, keyFile }: Files): string[] {
  return [...(header === null ? [] : ['--header', header]), '--key-file', keyFile, payload];
}

async function makeEncryption(t: Test, tool: Tool): Promise<Files> {
  const files = makeFiles(t, 'encrypt');
  fs.writeFileSync(files.payload, Buffer.concat([files.model, randomBytes(2 * SHIFT_BYTES)]));
  const how = [...REDUCTION, '--init-only', ...FAST_PBKDF2, ...args(files)];
  if (tool === 'ours') await mustLuksfuse(['encrypt', '-q', ...how]);
  else await cryptsetup('reencrypt', '--encrypt', '--type', 'luks2', ...how);
  return files;
}

/** A volume with its header at its start. */
async function makeVolume(t: Test): Promise<Files> {
  const files = makeFiles(t, 'decrypt');
  const { payload, keyFile, model } = files;
  fs.writeFileSync(payload, Buffer.alloc(SHIFT_BYTES + DATA_BYTES));
  const small = ['--luks2-keyslots-size', '512k', '--offset', `${SHIFT_BYTES / 512}`];
  await cryptsetup('luksFormat', '--type', 'luks2', ...FAST_PBKDF2, ...small, payload, keyFile);
  await mustLuksfuse(['write', '--key-file', keyFile, payload], { input: model });
  return files;
}

async function makeDecryption(t: Test, tool: Tool): Promise<Files> {
  const files = await makeVolume(t);
  const how = ['--init-only', ...args(files)];
  if (tool === 'ours') await mustLuksfuse(['decrypt', '-q', ...how]);
  else await cryptsetup('reencrypt', '--decrypt', OFFLINE, ...how);
  return files;
}

const MAKERS = { encrypt: makeEncryption, decrypt: makeDecryption };

async function workInPart(files: Files, tool: Tool): Promise<void> {
  const how = ['reencrypt', '--resume-only', ...args(files)];
  const [command, extra] = tool === 'ours' ? [PROGRAM, []] : ['cryptsetup', ['-q', OFFLINE]];
  await runAndKill(
    command,
    [...how, ...extra],
    killWhen(() => isInTheMiddle(files)),
  );
}

async function isInTheMiddle({ header, payload }: Files): Promise<boolean> {
  return (await read(header ?? payload)).segments.length >= SEGMENTS_IN_THE_MIDDLE;
}

/** Mounted, all of it is read, edited and read again; `cat` agrees. */
async function useNow(t: Test, files: Files, seed: number): Promise<void> {
  const { mode, keyFile, model } = files;
  const mount = await mountVolume(t, files);
  const { reencryption } = await statusOf(mount.mountpoint);
  t.match(reencryption, { mode, state: 'paused', totalBytes: DATA_BYTES });
  t.ok(fs.readFileSync(mount.file).equals(model), 'all of it is there');
  editAtRandom(mount.file, model, new Random(seed), EDITS);
  t.ok(fs.readFileSync(mount.file).equals(model), 'and can be written');
  const online = ['reencrypt', '--online', '--resume-only', '--key-file', keyFile, mount.mountpoint];
  const message = new RegExp(`unmount the volume.*luksfuse ${mode} --resume-only`);
  await refuses(t, online, { exit: 4, code: 'UNSUPPORTED', message }, []);
  await mount.umount();
  const { stdout } = await mustLuksfuse(['cat', ...args(files)]);
  t.ok(stdout.equals(model), 'cat agrees');
}

/** What there is in the end, as far as it was there before. */
async function readPlaintext(t: Test, files: Files): Promise<Buffer> {
  if (files.mode === 'decrypt') return fs.readFileSync(files.payload).subarray(0, DATA_BYTES);
  const { stdout } = await mustLuksfuse(['cat', ...args(files)]);
  t.equal(stdout.length, DATA_BYTES + SHIFT_BYTES);
  return stdout.subarray(0, DATA_BYTES);
}

async function finish(t: Test, files: Files, tool: Tool): Promise<void> {
  const how = ['reencrypt', '--resume-only', ...args(files)];
  if (tool === 'ours') await mustLuksfuse(how);
  else {
    await cryptsetup('repair', ...args(files));
    await cryptsetup(...how, OFFLINE);
  }
  t.ok((await readPlaintext(t, files)).equals(files.model), `ended by ${tool}, all of it is there`);
}

for (const mode of ['encrypt', 'decrypt'] as const) {
  for (const tool of ['ours', 'cryptsetup'] as const) {
    t.test(`${mode} begun by ${tool}, mounted in the middle and ended`, { skip }, async (t) => {
      const files = await MAKERS[mode](t, tool);
      if (tool === 'ours') await useNow(t, files, 1);
      await workInPart(files, tool);
      t.ok(await isInTheMiddle(files), 'in the middle');
      await useNow(t, files, 2);
      await finish(t, files, tool);
    });
  }
}

/** Says in the header that so much is done and so much is hot. Nothing of the data is touched. */
function recordState(payload: string, doneBytes: number, hotBytes: number): Promise<void> {
  return withDevice(
    payload,
    async (device) => {
      const header = readHeader(device);
      const shifted = findShiftedEncryption(header)!;
      const state = { ...beginningOf(shifted), doneBytes, hotBytes };
      applySteps(device, planMetadata(header, withShiftedParts(header, shifted, shiftedPartsOf(state))));
    },
    { isReadOnly: false },
  );
}

t.test('with a hot stretch of which nothing is written', { skip }, async (t) => {
  const files = await makeEncryption(t, 'ours');
  await recordState(files.payload, 0, SHIFT_BYTES);
  await useNow(t, files, 3);
  await finish(t, files, 'cryptsetup');
});

t.test('with only the last change of the header missing', { skip }, async (t) => {
  const files = await makeEncryption(t, 'ours');
  const begun = fs.readFileSync(files.payload).subarray(0, SHIFT_BYTES);
  await finish(t, files, 'ours');
  const fd = fs.openSync(files.payload, 'r+');
  fs.writeSync(fd, begun, 0, begun.length, 0);
  fs.closeSync(fd);
  await recordState(files.payload, DATA_BYTES, 0);
  await useNow(t, files, 4);
  await finish(t, files, 'ours');
});

t.test('a decryption whose head is not moved yet, or is being rewritten', { skip }, async (t) => {
  const files = await makeVolume(t);
  const { payload, header } = files;
  const unlock = { passphrase: Buffer.from('a passphrase') };
  const writable = { isReadOnly: false };
  await withDevice(payload, (device) => beginGiveback(device, header!, unlock), writable);
  const check = async (when: string) => {
    const { code, stderr } = await luksfuse(['cat', ...args(files)]);
    t.equal(code, 4, when);
    t.match(`${stderr}`, /go on with: luksfuse decrypt --resume-only/);
  };
  // Until its magics are gone, the payload is told from those that begin with data.
  await withDevice(payload, (device) => device.writeAt(Buffer.alloc(MiB), 0), writable);
  await check('not moved yet');
  await withDevice(
    header!,
    async (device) => {
      const begun = readHeader(device);
      const giveback = findGiveback(begun)!;
      const headBytes = giveback.moved.sizeBytes as number;
      const doneBytes = DATA_BYTES - headBytes;
      const state = { ...givebackBeginning(giveback, DATA_BYTES), doneBytes, hotBytes: headBytes };
      const hot = withShiftedParts(withMovedHead(begun), giveback, givebackPartsOf(state));
      applySteps(device, planMetadata(begun, hot));
    },
    writable,
  );
  await check('being rewritten');
});
