/**
 * encrypt --reduce-device-size beside cryptsetup's: killed at random and gone on with by the other, time and again, and the
 * data whole behind the header in the end. `--kills N` for more than a few, with the next payload where one is done,
 * `--tools ours` for ours alone; TAP_TIMEOUT to let it.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import t, { type Test } from 'tap';
import { cryptsetup } from '../kit/cryptsetup.js';
import { refuses } from '../kit/header-commands.js';
import { FAST_PBKDF2, read } from '../kit/headers.js';
import { killAfterChange, runAndKill } from '../kit/killed-run.js';
import { mustLuksfuse, PROGRAM } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { makeTempDir } from '../kit/temp.js';

const skip = skipUnless({ tools: ['cryptsetup'] });
const { values } = parseArgs({
  options: { kills: { type: 'string', default: '6' }, tools: { type: 'string', default: 'both' } },
  strict: false,
});
const KILLS = Number(values.kills);
const IS_OURS_ALONE = values.tools === 'ours';
const MiB = 1024 * 1024;
const REDUCTION_BYTES = 2 * MiB;
const REDUCTION = ['--reduce-device-size', '2M'];
const OFFLINE = '--force-offline-reencrypt';
/** The longest that a killed one works before. */
const MAX_WORK_MS = 60;

type Tool = 'ours' | 'cryptsetup';

interface Files {
  payload: string;
  keyFile: string;
  plaintext: Buffer;
}

function makeFiles(t: Test, sizeBytes: number): Files {
  const dir = makeTempDir(t);
  const files = { payload: path.join(dir, 'payload'), keyFile: path.join(dir, 'key') };
  const plaintext = randomBytes(sizeBytes);
  fs.writeFileSync(files.keyFile, 'a passphrase');
  fs.writeFileSync(files.payload, plaintext);
  return { ...files, plaintext };
}

async function begin({ keyFile, payload }: Files, tool: Tool): Promise<void> {
  const how = [...REDUCTION, '--init-only', '-q', '--key-file', keyFile, ...FAST_PBKDF2, payload];
  if (tool === 'ours') await mustLuksfuse(['encrypt', ...how]);
  else await cryptsetup('reencrypt', '--encrypt', '--type', 'luks2', ...how);
}

/**
 * Whose turn it is, null where all is done. Before its turn cryptsetup is let recover what a kill left, which may end it;
 * where only the last change of the header is missing, it refuses to make that.
 */
async function nextTool({ keyFile, payload }: Files, isTheirTurn: boolean): Promise<Tool | null> {
  if ((await read(payload)).config.requirements.length === 0) return null;
  if (!isTheirTurn) return 'ours';
  await cryptsetup('repair', '--key-file', keyFile, payload);
  const { config, segments } = await read(payload);
  if (config.requirements.length === 0) return null;
  const isAllDone = segments.some(({ sizeBytes, flags }) => sizeBytes === 'dynamic' && flags.length === 0);
  return isAllDone ? 'ours' : 'cryptsetup';
}

/** Goes on with `tool`, which is killed when it has begun to work. True where it had ended before. */
function resumeAndKill({ keyFile, payload }: Files, tool: Tool): Promise<boolean> {
  const how = ['reencrypt', '--resume-only', '--key-file', keyFile];
  const [command, extra] = tool === 'ours' ? [PROGRAM, []] : ['cryptsetup', ['-q', OFFLINE]];
  return runAndKill(command, [...how, ...extra, payload], killAfterChange([payload], MAX_WORK_MS));
}

async function checkEncrypted(t: Test, { keyFile, payload, plaintext }: Files, what: string): Promise<void> {
  const { stdout } = await mustLuksfuse(['cat', '--key-file', keyFile, payload]);
  const keptBytes = plaintext.length - REDUCTION_BYTES;
  t.ok(stdout.subarray(0, keptBytes).equals(plaintext.subarray(0, keptBytes)), `whole, ${what}`);
  t.equal(stdout.length, plaintext.length - REDUCTION_BYTES / 2, 'all of the device behind the header');
  await cryptsetup('open', '--test-passphrase', '--key-file', keyFile, payload);
  const head = plaintext.subarray(0, 4096);
  t.equal(fs.readFileSync(payload).indexOf(head), -1, 'its head is nowhere to be read any more');
}

/** One payload from the beginning to the end, killed `most` times or less. Resolves to how often it was. */
async function killToTheEnd(t: Test, beginner: Tool, most: number): Promise<number> {
  const files = makeFiles(t, 60 * MiB + 4096);
  await begin(files, beginner);
  const kills = { ours: 0, cryptsetup: 0 };
  const sum = () => kills.ours + kills.cryptsetup;
  const next = () => {
    const isTheirTurn = sum() % 2 === (beginner === 'ours' ? 0 : 1);
    return nextTool(files, isTheirTurn && !IS_OURS_ALONE);
  };
  for (let tool = await next(); tool !== null && sum() < most; tool = await next()) {
    if (!(await resumeAndKill(files, tool))) kills[tool] += 1;
  }
  if ((await nextTool(files, false)) !== null) {
    await mustLuksfuse(['encrypt', '--resume-only', '--key-file', files.keyFile, files.payload]);
  }
  await checkEncrypted(t, files, `after ${kills.ours} kills of ours and ${kills.cryptsetup} of cryptsetup`);
  fs.rmSync(path.dirname(files.payload), { recursive: true });
  return sum();
}

for (const beginner of ['ours', 'cryptsetup'] as const) {
  t.test(`begun by ${beginner}, killed in turns`, { skip }, async (t) => {
    for (let kills = 0; kills < KILLS; ) kills += await killToTheEnd(t, beginner, KILLS - kills);
  });
}

t.test('begun by ours, ended by cryptsetup; and all of it by ours', { skip }, async (t) => {
  const files = makeFiles(t, 9 * MiB);
  await begin(files, 'ours');
  await cryptsetup('reencrypt', '--resume-only', OFFLINE, '--key-file', files.keyFile, files.payload);
  await checkEncrypted(t, files, 'by cryptsetup');
  fs.writeFileSync(files.payload, files.plaintext);
  const how = [...REDUCTION, '-q', '--key-file', files.keyFile, ...FAST_PBKDF2, '--sector-size', '512'];
  await mustLuksfuse(['encrypt', ...how, files.payload]);
  await checkEncrypted(t, files, 'by ours');
});

t.test('less data than the shift, of which cryptsetup makes a head alone', { skip }, async (t) => {
  const files = makeFiles(t, REDUCTION_BYTES + 64 * 1024);
  await begin(files, 'cryptsetup');
  await mustLuksfuse(['reencrypt', '--resume-only', '--key-file', files.keyFile, files.payload]);
  const { stdout } = await mustLuksfuse(['cat', '--key-file', files.keyFile, files.payload]);
  t.ok(stdout.subarray(0, 64 * 1024).equals(files.plaintext.subarray(0, 64 * 1024)));
});

t.test('what is refused', { skip }, async (t) => {
  const files = makeFiles(t, 2.5 * MiB);
  const { keyFile, payload } = files;
  const bad = (message: RegExp) => ({ exit: 1, code: 'BAD_ARGUMENT', message });
  const encrypt = (...how: string[]) => [
    'encrypt',
    '-q',
    '--key-file',
    keyFile,
    ...FAST_PBKDF2,
    ...how,
    payload,
  ];
  await refuses(t, encrypt(...REDUCTION), bad(/1 MiB at least/), [payload]);
  await refuses(t, encrypt('--reduce-device-size', '1500000'), bad(/multiple of 8K/), [payload]);
  await refuses(t, encrypt('--reduce-device-size', '256K'), bad(/1M at least/), [payload]);
  for (const other of [
    ['--header', `${payload}.h`],
    ['--resilience', 'none'],
    ['--hotzone-size', '1M'],
  ]) {
    await refuses(t, encrypt(...REDUCTION, ...other), bad(/exclude each other/), [payload]);
  }
  const begun = makeFiles(t, 9 * MiB);
  await begin(begun, 'cryptsetup');
  const resume = (...how: string[]) => ['--resume-only', '--key-file', begun.keyFile, ...how, begun.payload];
  const untouched = [begun.payload];
  await refuses(t, ['encrypt', ...resume('--reduce-device-size', '4M')], bad(/gives up 4 MiB/), untouched);

  await refuses(t, ['reencrypt', ...resume('--hotzone-size', '1M')], bad(/leave --hotzone-size/), untouched);
});
