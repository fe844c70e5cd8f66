/**
 * Volumes whose encryption, which moves the data to make room for its header, was cut short, used before it goes on:
 * mounted, read and written at the old place, the moved head and the new place, and ended afterwards by us or by cryptsetup.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { applySteps } from '../../lib/format/change.js';
import { readHeader } from '../../lib/format/header.js';
import { findShiftedEncryption, withShiftedParts } from '../../lib/format/reencryption-shift.js';
import { planMetadata } from '../../lib/format/write.js';
import { beginningOf } from '../../lib/volume/reencrypt-shift.js';
import { shiftedPartsOf } from '../../lib/volume/reencrypt-shift-parts.js';
import { cryptsetup } from '../kit/cryptsetup.js';
import { refuses } from '../kit/header-commands.js';
import { FAST_PBKDF2, read, withDevice } from '../kit/headers.js';
import { killWhen, runAndKill } from '../kit/killed-run.js';
import { mountVolume, mustLuksfuse, PROGRAM } from '../kit/luksfuse.js';
import { editAtRandom } from '../kit/payload-edits.js';
import { Random } from '../kit/random.js';
import { skipUnless } from '../kit/requirements.js';
import { statusOf } from '../kit/serving.js';
import { makeTempDir } from '../kit/temp.js';

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });
const MiB = 1024 * 1024;
const SIZE_BYTES = 60 * MiB + 8192;
const SHIFT_BYTES = MiB;
/** What there is of the plaintext while the work is not done. */
const DATA_BYTES = SIZE_BYTES - 2 * SHIFT_BYTES;
const REDUCTION = ['--reduce-device-size', `${(2 * SHIFT_BYTES) / MiB}M`];
const OFFLINE = '--force-offline-reencrypt';
const EDITS = 60;
/** The moved head, the rest, what is done, and three backups. */
const SEGMENTS_IN_THE_MIDDLE = 6;

type Tool = 'ours' | 'cryptsetup';

interface Files {
  payload: string;
  keyFile: string;
  model: Buffer;
}

async function makeBegun(t: Test, tool: Tool): Promise<Files> {
  const dir = makeTempDir(t);
  const [payload, keyFile] = [path.join(dir, 'payload'), path.join(dir, 'key')];
  const plaintext = randomBytes(SIZE_BYTES);
  fs.writeFileSync(payload, plaintext);
  fs.writeFileSync(keyFile, 'a passphrase');
  const how = [...REDUCTION, '--init-only', '-q', '--key-file', keyFile, ...FAST_PBKDF2, payload];
  if (tool === 'ours') await mustLuksfuse(['encrypt', ...how]);
  else await cryptsetup('reencrypt', '--encrypt', '--type', 'luks2', ...how);
  return { payload, keyFile, model: plaintext.subarray(0, DATA_BYTES) };
}

async function workInPart({ payload, keyFile }: Files, tool: Tool): Promise<void> {
  const how = ['reencrypt', '--resume-only', '--key-file', keyFile, payload];
  const [command, extra] = tool === 'ours' ? [PROGRAM, []] : ['cryptsetup', ['-q', OFFLINE]];
  const isInTheMiddle = async () => (await read(payload)).segments.length >= SEGMENTS_IN_THE_MIDDLE;
  await runAndKill(command, [...how, ...extra], killWhen(isInTheMiddle));
}

/** Mounted, all of it is read, edited and read again; `cat` agrees. */
async function useNow(t: Test, files: Files, seed: number): Promise<void> {
  const { payload, keyFile, model } = files;
  const mount = await mountVolume(t, { header: null, payload, keyFile });
  const { reencryption } = await statusOf(mount.mountpoint);
  t.match(reencryption, { mode: 'encrypt', state: 'paused', totalBytes: DATA_BYTES });
  t.ok(fs.readFileSync(mount.file).equals(model), 'all of it is there');
  editAtRandom(mount.file, model, new Random(seed), EDITS);
  t.ok(fs.readFileSync(mount.file).equals(model), 'and can be written');
  const online = ['reencrypt', '--online', '--resume-only', '--key-file', keyFile, mount.mountpoint];
  const refusal = {
    exit: 4,
    code: 'UNSUPPORTED',
    message: /unmount the volume.*luksfuse encrypt --resume-only/,
  };
  await refuses(t, online, refusal, []);
  await mount.umount();
  const { stdout } = await mustLuksfuse(['cat', '--key-file', keyFile, payload]);
  t.ok(stdout.equals(model), 'cat agrees');
}

async function finish(t: Test, { payload, keyFile, model }: Files, tool: Tool): Promise<void> {
  const how = ['reencrypt', '--resume-only', '--key-file', keyFile];
  if (tool === 'ours') await mustLuksfuse([...how, payload]);
  else {
    await cryptsetup('repair', '--key-file', keyFile, payload);
    await cryptsetup(...how, OFFLINE, payload);
  }
  const { stdout } = await mustLuksfuse(['cat', '--key-file', keyFile, payload]);
  t.equal(stdout.length, SIZE_BYTES - SHIFT_BYTES);
  t.ok(stdout.subarray(0, DATA_BYTES).equals(model), `ended by ${tool}, all of it is there`);
}

for (const tool of ['ours', 'cryptsetup'] as const) {
  t.test(`begun by ${tool}, mounted before, in the middle and ended`, { skip }, async (t) => {
    const files = await makeBegun(t, tool);
    await useNow(t, files, 1);
    await workInPart(files, tool);
    const { segments } = await read(files.payload);
    t.ok(segments.length >= SEGMENTS_IN_THE_MIDDLE, 'in the middle');
    await useNow(t, files, 2);
    await finish(t, files, tool);
  });
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
  const files = await makeBegun(t, 'ours');
  await recordState(files.payload, 0, SHIFT_BYTES);
  await useNow(t, files, 3);
  await finish(t, files, 'cryptsetup');
});

t.test('with only the last change of the header missing', { skip }, async (t) => {
  const files = await makeBegun(t, 'ours');
  const begun = fs.readFileSync(files.payload).subarray(0, SHIFT_BYTES);
  await finish(t, files, 'ours');
  const fd = fs.openSync(files.payload, 'r+');
  fs.writeSync(fd, begun, 0, begun.length, 0);
  fs.closeSync(fd);
  await recordState(files.payload, DATA_BYTES, 0);
  await useNow(t, files, 4);
  await finish(t, files, 'ours');
});
