/**
 * decrypt of a payload that begins with its header, beside cryptsetup's: killed at random and gone on with by the other,
 * time and again, and the data whole at the payload's start in the end. `--kills N` for more than a few, with the next
 * payload where one is done; TAP_TIMEOUT to let it.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import t, { type Test } from 'tap';
import { findGiveback } from '../../lib/format/reencryption-giveback.js';
import { beginGiveback } from '../../lib/volume/reencrypt-giveback-begin.js';
import { moveHead } from '../../lib/volume/reencrypt-giveback-head.js';
import { cryptsetup } from '../kit/cryptsetup.js';
import { recordWrites } from '../kit/cuts.js';
import { refuses } from '../kit/header-commands.js';
import { FAST_PBKDF2, read, withDevice } from '../kit/headers.js';
import { killAfterChange, runAndKill } from '../kit/killed-run.js';
import { luksfuse, mustLuksfuse, PROGRAM } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { run } from '../kit/run.js';
import { makeTempDir } from '../kit/temp.js';

const skip = skipUnless({ tools: ['cryptsetup'] });
const { values } = parseArgs({ options: { kills: { type: 'string', default: '4' } }, strict: false });
const KILLS = Number(values.kills);
const MiB = 1024 * 1024;
const PASSPHRASE = 'a passphrase';
/** What a small header takes, and the data begins behind. */
const SHIFT_BYTES = MiB;
const SMALL = ['--luks2-metadata-size', '16k', '--luks2-keyslots-size', '512k', '--offset', '2048'];
const OFFLINE = '--force-offline-reencrypt';

/** The longest that a killed one works before. */
const MAX_WORK_MS = 30;

type Tool = 'ours' | 'cryptsetup';

interface Files {
  /** Not there yet. */
  header: string;
  payload: string;
  keyFile: string;
  plaintext: Buffer;
}

/** A volume with its header at its start. */
async function makeFiles(t: Test, sizeBytes: number, sectorSize = '512'): Promise<Files> {
  const dir = makeTempDir(t);
  const [header, payload, keyFile] = ['header', 'payload', 'key'].map((name) => path.join(dir, name));
  const files = { header: header!, payload: payload!, keyFile: keyFile!, plaintext: randomBytes(sizeBytes) };
  fs.writeFileSync(files.keyFile, PASSPHRASE);
  fs.writeFileSync(files.payload, Buffer.alloc(SHIFT_BYTES + sizeBytes));
  const how = ['--type', 'luks2', ...FAST_PBKDF2, ...SMALL, '--sector-size', sectorSize];
  await cryptsetup('luksFormat', ...how, files.payload, files.keyFile);
  await mustLuksfuse(['write', '--key-file', files.keyFile, files.payload], { input: files.plaintext });
  return files;
}

function args({ header, keyFile, payload }: Files): string[] {
  return ['--header', header, '--key-file', keyFile, payload];
}

async function begin(files: Files, tool: Tool, ...how: string[]): Promise<void> {
  if (tool === 'ours') await mustLuksfuse(['decrypt', '-q', '--init-only', ...how, ...args(files)]);
  else await cryptsetup('reencrypt', '--decrypt', '--init-only', OFFLINE, ...how, ...args(files));
}

async function isEnded({ header }: Files): Promise<boolean> {
  return (await read(header)).config.requirements.length === 0;
}

/**
 * Whose turn it is, null where all is done. Before its turn cryptsetup is let recover what a kill left; where only its end is
 * missing it would take all for not done.
 */
async function nextTool(files: Files, isTheirTurn: boolean): Promise<Tool | null> {
  if (await isEnded(files)) return null;
  if (!isTheirTurn) return 'ours';
  await cryptsetup('repair', ...args(files));
  if (await isEnded(files)) return null;
  const { segments } = await read(files.header);
  return segments[0]!.sizeBytes === 'dynamic' ? 'ours' : 'cryptsetup';
}

/** Goes on with `tool`, which is killed when it has begun to work. True where it had ended before. */
function resumeAndKill(files: Files, tool: Tool): Promise<boolean> {
  const how = ['reencrypt', '--resume-only'];
  const [command, extra] = tool === 'ours' ? [PROGRAM, []] : ['cryptsetup', ['-q', OFFLINE]];
  const arm = killAfterChange([files.header, files.payload], MAX_WORK_MS);
  return runAndKill(command, [...how, ...extra, ...args(files)], arm);
}

async function checkDecrypted(t: Test, files: Files, what: string): Promise<void> {
  const { plaintext, payload, header } = files;
  const now = fs.readFileSync(payload);
  t.ok(now.subarray(0, plaintext.length).equals(plaintext), `whole, ${what}`);
  t.equal(now.length, plaintext.length + SHIFT_BYTES, 'the payload keeps its size');
  const rest = now.subarray(plaintext.length);
  t.equal(rest.indexOf(plaintext.subarray(-4096)), -1, 'nothing of it is behind its end');
  t.match(await read(header), { keyslots: new Map(), config: { requirements: [] } }, 'no key is left');
  t.strictSame(fs.readdirSync(path.dirname(payload)).toSorted(), ['header', 'key', 'payload']);
}

/** One payload from the beginning to the end, killed `most` times or less. Resolves to how often it was. */
async function killToTheEnd(t: Test, beginner: Tool, how: string[], most: number): Promise<number> {
  const files = await makeFiles(t, 48 * MiB + 4096);
  await begin(files, beginner, ...how);
  let kills = 0;
  while (kills < most) {
    const tool = await nextTool(files, kills % 2 === (beginner === 'ours' ? 0 : 1));
    if (tool === null || (await resumeAndKill(files, tool))) break;
    kills += 1;
  }
  if (!(await isEnded(files))) await mustLuksfuse(['decrypt', '--resume-only', ...args(files)]);
  await checkDecrypted(t, files, `after ${kills} kills`);
  fs.rmSync(files.payload);
  return kills;
}

for (const [beginner, ...how] of [
  ['ours', '--resilience', 'journal'],
  ['cryptsetup', '--hotzone-size', '128K'],
] as [Tool, ...string[]][]) {
  t.test(`begun by ${beginner} ${how.join(' ')}, killed in turns`, { skip }, async (t) => {
    let kills = 0;
    for (let round = 0; round < KILLS && kills < KILLS; round += 1) {
      kills += await killToTheEnd(t, beginner, how, KILLS - kills);
    }
  });
}

t.test('the same command again and again, killed from its first moment on', { skip }, async (t) => {
  const files = await makeFiles(t, 24 * MiB);
  const { header, payload } = files;
  const same = ['decrypt', '-q', '--hotzone-size', '256K', ...args(files)];
  let isDone = false;
  for (let kills = 0; kills < KILLS && !isDone; kills += 1) {
    const watched = [path.dirname(payload), payload, ...(fs.existsSync(header) ? [header] : [])];
    isDone = await runAndKill(PROGRAM, same, killAfterChange(watched, MAX_WORK_MS));
    isDone ||= fs.existsSync(header) && (await isEnded(files));
  }
  if (!isDone) await mustLuksfuse(same);
  await checkDecrypted(t, files, 'in the end');
});

for (const [sizeBytes, sectorSize, ...how] of [
  [9 * MiB + 512, '512', '--resilience', 'datashift-journal', '--hotzone-size', '64K'],
  [12288, '4096'],
] as [number, string, ...string[]][]) {
  t.test(`${sizeBytes} bytes in sectors of ${sectorSize}, by both`, { skip }, async (t) => {
    const files = await makeFiles(t, sizeBytes, sectorSize);
    const before = fs.readFileSync(files.payload);
    await begin(files, 'ours');
    await cryptsetup('reencrypt', '--resume-only', OFFLINE, ...args(files));
    await checkDecrypted(t, files, 'begun by ours, ended by cryptsetup');
    fs.rmSync(files.header);
    fs.writeFileSync(files.payload, before);
    await begin(files, 'cryptsetup', ...how);
    const { stdout } = await mustLuksfuse(['reencrypt', '--resume-only', ...args(files)]);
    t.match(`${stdout}`, `first ${sizeBytes} bytes`);
    await checkDecrypted(t, files, 'begun by cryptsetup, ended by ours');
  });
}

/** Everything a person may try with cryptsetup on what a cut has left. */
async function tryAll(files: Files): Promise<void> {
  const { header, payload, keyFile } = files;
  const key = ['--key-file', keyFile];
  for (const how of [
    ['reencrypt', '--resume-only', OFFLINE, ...args(files)],
    ['reencrypt', '--decrypt', OFFLINE, ...args(files)],
    ['repair', ...args(files)],
    ['open', '--test-passphrase', ...args(files)],
    ['open', '--test-passphrase', ...key, payload],
    ['repair', ...key, payload],
    ['luksDump', header],
  ]) {
    await run('cryptsetup', ['-q', ...how]);
  }
}

t.test('while the head is not there yet cryptsetup does no harm', { skip }, async (t) => {
  const files = await makeFiles(t, 3 * MiB);
  const { header, payload } = files;
  const unlock = { passphrase: Buffer.from(PASSPHRASE) };
  const writable = { isReadOnly: false };
  await withDevice(payload, (device) => beginGiveback(device, header, unlock), writable);
  const [record, image] = [header, payload].map((file) => fs.readFileSync(file)) as [Buffer, Buffer];
  const moving = () =>
    withDevice(
      header,
      (device) =>
        withDevice(
          payload,
          async (data) => moveHead(device, data, findGiveback(await read(header))!),
          writable,
        ),
      writable,
    );
  const writes = await recordWrites(payload, moving);
  t.equal(writes.length, 3, 'both magics, and the head');
  for (let count = 0; count <= writes.length; count += 1) {
    fs.writeFileSync(header, record);
    fs.writeFileSync(payload, image);
    await tryAll(files);
    t.ok(fs.readFileSync(header).equals(record), `the record is as it was, ${count} writes done`);
    await mustLuksfuse(['decrypt', '--resume-only', ...args(files)]);
    await checkDecrypted(t, files, 'gone on with by ours');
    const next = writes[count];
    next?.bytes.copy(image, next.offsetBytes);
  }
});

t.test('what is refused', { skip }, async (t) => {
  const files = await makeFiles(t, 3 * MiB);
  const { header, payload, keyFile } = files;
  const bad = (message: RegExp, exit = 1, code = 'BAD_ARGUMENT') => ({ exit, code, message });
  const decrypt = (...how: string[]) => ['decrypt', '-q', ...how, ...args(files)];

  await refuses(t, ['decrypt', '-q', '--key-file', keyFile, payload], bad(/--header, or.* new file/), [
    payload,
  ]);
  await refuses(t, decrypt('--resilience', 'none'), bad(/leave --resilience none out/), [payload]);
  await refuses(t, decrypt('--direction', 'backward'), bad(/leave --direction backward out/), [payload]);
  await refuses(t, ['decrypt', '-q', '--header', payload, payload], bad(/is the payload itself/), [payload]);
  t.notOk(fs.existsSync(header));

  fs.writeFileSync(header, 'something of mine');
  await refuses(t, decrypt(), bad(/exists and holds no LUKS header.* a new file/), [header, payload]);
  fs.rmSync(header);
  await mustLuksfuse(['header-backup', payload, header]);
  await refuses(t, decrypt(), bad(/is a copy of the header/), [header, payload]);
  fs.rmSync(header);

  await begin(files, 'ours');
  const both = [header, payload];
  await refuses(t, decrypt('--resilience', 'journal'), bad(/begun in another way/), both);
  await refuses(t, decrypt('--hotzone-size', '64K'), bad(/rewritten in one step/), both);
  const add = ['add-key', header, keyFile, '--key-file', keyFile];
  await refuses(t, add, bad(/reencryption of this volume is unfinished/, 4, 'UNSUPPORTED'), both);
  const encrypt = ['encrypt', '--resume-only', ...args(files)];
  await refuses(t, encrypt, bad(/decrypt; go on with that/), both);
  await mustLuksfuse(decrypt('--resilience', 'checksum'));
  await checkDecrypted(t, files, 'by the same command');
  await refuses(t, decrypt(), bad(/was decrypted/, 4, 'UNSUPPORTED'), both);
  fs.rmSync(header);
  await refuses(t, decrypt(), bad(/does not exist, and .* no LUKS header/, 4, 'NOT_LUKS'), [payload]);
});

t.test('a header that was changed after it was copied is not given up', { skip }, async (t) => {
  const files = await makeFiles(t, 2 * MiB);
  const { header, payload, keyFile } = files;
  const unlock = { passphrase: Buffer.from(PASSPHRASE) };
  await withDevice(payload, (device) => beginGiveback(device, header, unlock), { isReadOnly: false });
  const second = path.join(makeTempDir(t), 'second');
  fs.writeFileSync(second, 'second');
  await mustLuksfuse(['add-key', payload, second, '--key-file', keyFile, ...FAST_PBKDF2]);
  const again = ['decrypt', '-q', ...args(files)];
  const refusal = {
    exit: 1,
    code: 'BAD_ARGUMENT',
    message: /changed since .* remove .*header and begin again/,
  };
  await refuses(t, again, refusal, [header, payload]);
  fs.rmSync(header);
  await mustLuksfuse(['decrypt', '-q', '--header', header, '--key-file', second, payload]);
  await checkDecrypted(t, files, 'with the key that was added');
});

t.test('LUKS1 is to be converted before', { skip }, async (t) => {
  const files = await makeFiles(t, 4 * MiB);
  const { header, payload, keyFile } = files;
  await cryptsetup('luksFormat', '--type', 'luks1', '--pbkdf-force-iterations', '1000', payload, keyFile);
  const refusal = { exit: 1, code: 'BAD_ARGUMENT', message: /convert --type luks2 first/ };
  await refuses(t, ['decrypt', '-q', ...args(files)], refusal, [payload]);
  await mustLuksfuse(['convert', '-q', '--type', 'luks2', payload]);
  const { stdout } = await mustLuksfuse(['cat', '--key-file', keyFile, payload]);
  await mustLuksfuse(['decrypt', '-q', ...args(files)]);
  t.ok(fs.readFileSync(payload).subarray(0, stdout.length).equals(stdout));
  t.notOk((await luksfuse(['is-luks', payload])).code === 0);
  t.ok(fs.existsSync(header));
});
