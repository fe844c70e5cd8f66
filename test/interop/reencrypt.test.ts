/**
 * encrypt, reencrypt and decrypt beside cryptsetup's: killed at random and gone on with by the other, time and again, and
 * the data whole in the end. `--kills N` for more than a few (of a payload of `--mib`, the next one where it ends before),
 * `--tools ours` for ours alone, `--only` for one mode; TAP_TIMEOUT to let it.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import t, { type Test } from 'tap';
import type { Device } from '../../lib/device.js';
import { changeHeader } from '../../lib/format/change.js';
import { editHeader } from '../../lib/format/edit.js';
import { objectMember } from '../../lib/format/json.js';
import { requireReencryption } from '../../lib/format/reencryption.js';
import { planMetadata } from '../../lib/format/write.js';
import { cryptsetup } from '../kit/cryptsetup.js';
import { refuses } from '../kit/header-commands.js';
import { cryptsetupOpens, FAST_PBKDF2, read, withDevice } from '../kit/headers.js';
import { killAfterChange, runAndKill } from '../kit/killed-run.js';
import { mustLuksfuse, PROGRAM } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { makeTempDir } from '../kit/temp.js';

const skip = skipUnless({ tools: ['cryptsetup'] });
const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '6' },
    tools: { type: 'string', default: 'both' },
    only: { type: 'string', default: '' },
    mib: { type: 'string', default: '24' },
  },
  strict: false,
});
const KILLS = Number(values.kills);
const IS_OURS_ALONE = values.tools === 'ours';
const MiB = 1024 * 1024;
const SIZE_BYTES = 24 * MiB;
/** Small, so that a kill meets every kind of moment. */
const ZONE = ['--hotzone-size', '64K'];
/** The longest that a killed one works before. */
const MAX_WORK_MS = 250;

type Mode = 'encrypt' | 'reencrypt' | 'decrypt';
type Tool = 'ours' | 'cryptsetup';

interface Files {
  dir: string;
  header: string;
  payload: string;
  keyFile: string;
  plaintext: Buffer;
}

function makeFiles(t: Test, sizeBytes = SIZE_BYTES): Files {
  const dir = makeTempDir(t);
  const at = (name: string) => path.join(dir, name);
  const files = { dir, header: at('header'), payload: at('payload'), keyFile: at('key') };
  const plaintext = randomBytes(sizeBytes);
  fs.writeFileSync(files.keyFile, 'a passphrase');
  fs.writeFileSync(files.payload, plaintext);
  return { ...files, plaintext };
}

function args(files: Files): string[] {
  return ['--header', files.header, '--key-file', files.keyFile];
}

/** cryptsetup's words for a mode. */
const THEIR_MODES = { encrypt: ['--encrypt', '--type', 'luks2'], reencrypt: [], decrypt: ['--decrypt'] };
const OFFLINE = '--force-offline-reencrypt';

async function begin(files: Files, mode: Mode, tool: Tool, resilience: string): Promise<void> {
  if (mode !== 'encrypt') {
    await cryptsetup('reencrypt', ...THEIR_MODES.encrypt, ...args(files), ...FAST_PBKDF2, files.payload);
  }
  const how = ['--init-only', '--resilience', resilience, ...args(files)];
  const pbkdf = mode === 'decrypt' ? [] : FAST_PBKDF2;
  if (tool === 'ours') await mustLuksfuse([mode, '-q', ...how, ...pbkdf, files.payload]);
  else {
    const offline = mode === 'encrypt' ? [] : [OFFLINE];
    await cryptsetup('reencrypt', ...THEIR_MODES[mode], ...how, ...pbkdf, ...offline, files.payload);
  }
}

/** How the header calls it: only the backups, one part and both, or more. */
const ONE_PART = 3;

/**
 * Whose turn it is, null where all is done. A row of one part is all to do, or all done and not yet ended: cryptsetup 2.6
 * takes the latter for the former and converts everything a second time, its own work too, so that is never its turn.
 */
async function nextTool(files: Files, turn: number): Promise<Tool | null> {
  const before = await read(files.header);
  if (before.config.requirements.length === 0) return null;
  if (IS_OURS_ALONE || turn % 2 === 0 || before.segments.length <= ONE_PART) return 'ours';
  await cryptsetup('repair', ...args(files), files.payload);
  const { config, segments } = await read(files.header);
  if (config.requirements.length === 0) return null;
  return segments.length <= ONE_PART ? 'ours' : 'cryptsetup';
}

/** Goes on with `tool`, which is killed when it has begun to work. True where it had ended by itself, and well, before. */
function resumeAndKill(files: Files, tool: Tool): Promise<boolean> {
  const how = ['reencrypt', '--resume-only', ...ZONE, ...args(files)];
  const [command, extra] = tool === 'ours' ? [PROGRAM, []] : ['cryptsetup', ['-q', OFFLINE]];
  return runAndKill(
    command,
    [...how, ...extra, files.payload],
    killAfterChange([files.header, files.payload], MAX_WORK_MS),
  );
}

async function readPlaintext(files: Files, mode: Mode): Promise<Buffer> {
  if (mode !== 'decrypt') await cryptsetup('reencrypt', '--decrypt', OFFLINE, ...args(files), files.payload);
  return fs.readFileSync(files.payload);
}

/** One payload from the beginning to the end, killed `most` times or less. Resolves to how often it was. */
async function killToTheEnd(t: Test, mode: Mode, beginner: Tool, resilience: string, most: number) {
  const files = makeFiles(t, Number(values.mib) * MiB);
  await begin(files, mode, beginner, resilience);
  const kills = { ours: 0, cryptsetup: 0 };
  let isDone = false;
  while (!isDone && kills.ours + kills.cryptsetup < most) {
    const tool = await nextTool(files, kills.ours + kills.cryptsetup);
    isDone = tool === null || (await resumeAndKill(files, tool));
    if (!isDone) kills[tool!] += 1;
  }
  if ((await nextTool(files, 0)) !== null) {
    await mustLuksfuse(['reencrypt', '--resume-only', ...args(files), files.payload]);
  }
  const said = `whole after ${kills.ours} kills of ours and ${kills.cryptsetup} of cryptsetup`;
  t.ok((await readPlaintext(files, mode)).equals(files.plaintext), said);
  fs.rmSync(files.dir, { recursive: true });
  return kills.ours + kills.cryptsetup;
}

for (const mode of ['encrypt', 'reencrypt', 'decrypt'] as const) {
  if (values.only && values.only !== mode) continue;
  for (const [resilience, beginner] of [
    ['checksum', 'cryptsetup'],
    ['journal', 'ours'],
  ] as const) {
    t.test(`${mode}, ${resilience}, begun by ${beginner}, killed in turns`, { skip }, async (t) => {
      for (let [kills, more] = [0, 1]; kills < KILLS && more > 0; kills += more) {
        more = await killToTheEnd(t, mode, beginner, resilience, KILLS - kills);
      }
    });
  }
}

for (const resilience of ['checksum', 'none'] as const) {
  t.test(`begun by ours with ${resilience} and another cipher, ended by cryptsetup`, { skip }, async (t) => {
    const files = makeFiles(t, 4 * MiB);
    const how = ['-q', ...args(files), ...FAST_PBKDF2, '--resilience', resilience];
    const cbc = ['--cipher', 'aes-cbc-essiv:sha256', '--key-size', '256', '--sector-size', '512'];
    await mustLuksfuse(['encrypt', ...how, ...cbc, ...ZONE, files.payload]);
    const xts = ['--cipher', 'aes-xts-plain64', '--key-size', '512', '--sector-size', '4096'];
    await mustLuksfuse([
      'reencrypt',
      ...how,
      ...xts,
      '--direction',
      'backward',
      '--init-only',
      files.payload,
    ]);
    await cryptsetup('reencrypt', '--resume-only', OFFLINE, ...args(files), files.payload);
    t.ok((await readPlaintext(files, 'reencrypt')).equals(files.plaintext));
  });
}

t.test('a volume with its header at its start, several zones and threads', { skip }, async (t) => {
  const files = makeFiles(t, 40 * MiB);
  const image = path.join(files.dir, 'image');
  fs.writeFileSync(image, Buffer.alloc(56 * MiB));
  await cryptsetup('luksFormat', '--type', 'luks2', ...FAST_PBKDF2, image, files.keyFile);
  const write = ['write', '--key-file', files.keyFile, image];
  await mustLuksfuse(write, { input: files.plaintext });
  const how = ['-q', '--key-file', files.keyFile, ...FAST_PBKDF2];
  await mustLuksfuse(['reencrypt', ...how, '--sector-size', '4096', '--hotzone-size', '9M', image]);
  const { stdout } = await mustLuksfuse(['cat', '--key-file', files.keyFile, image]);
  t.ok(stdout.equals(files.plaintext), 'ours reads it');
  await cryptsetup('open', '--test-passphrase', '--key-file', files.keyFile, image);
  t.equal((await read(image)).segments[0]!.sectorSizeBytes, 4096);
});

t.test('a signal ends it between two steps, and says how to go on', { skip }, async (t) => {
  const files = makeFiles(t);
  await begin(files, 'encrypt', 'ours', 'none');
  const how = ['encrypt', '--resume-only', '--json', ...ZONE, ...args(files), files.payload];
  const child = spawn(PROGRAM, how, { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.once('data', () => child.kill('SIGTERM'));
  const said: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
  const code = await new Promise((resolve) => child.once('close', resolve));
  t.equal(code, 128 + 15);
  t.match(`${Buffer.concat(said)}`, /stopped at .* of 24 MiB; go on with: luksfuse reencrypt --resume-only/);
  await mustLuksfuse(['reencrypt', '--resume-only', ...args(files), files.payload]);
  t.ok((await readPlaintext(files, 'encrypt')).equals(files.plaintext), 'whole, though nothing protected it');
});

t.test('what is refused', { skip }, async (t) => {
  const files = makeFiles(t, MiB);
  const untouched = [files.header, files.payload];
  const bad = (message: RegExp, exit = 1, code = 'BAD_ARGUMENT') => ({ exit, code, message });
  const how = ['-q', ...args(files), files.payload];

  await refuses(t, ['encrypt', '-q', '--key-file', files.keyFile, files.payload], bad(/--header/), untouched);
  await refuses(t, ['encrypt', ...how.slice(1)], bad(/--batch-mode/), untouched);
  const both = ['encrypt', '--resume-only', '--cipher', 'aes-xts-plain64', ...how];
  await refuses(t, both, bad(/--cipher is for the beginning/), untouched);

  const luks1 = { ...files, header: path.join(files.dir, 'luks1') };
  const format = ['luksFormat', '--type', 'luks1', '--header', luks1.header, files.payload, files.keyFile];
  await cryptsetup(...format, ...FAST_PBKDF2);
  const old = ['reencrypt', '-q', ...args(luks1), files.payload];
  await refuses(t, old, bad(/convert --type luks2/), [luks1.header, files.payload]);

  await mustLuksfuse(['encrypt', '--init-only', ...FAST_PBKDF2, ...how]);
  await refuses(t, ['reencrypt', ...how], bad(/unfinished/, 4, 'UNSUPPORTED'), untouched);
  await refuses(t, ['decrypt', '--resume-only', ...how], bad(/encrypt; go on with that/), untouched);
  const add = ['add-key', files.header, files.keyFile, '--key-file', files.keyFile];
  await refuses(t, add, bad(/luksfuse reencrypt --resume-only/, 4, 'UNSUPPORTED'), untouched);
  const wrong = [
    'reencrypt',
    '--resume-only',
    '--header',
    files.header,
    '--key-file',
    files.payload,
    files.payload,
  ];
  await refuses(t, wrong, bad(/opens no keyslot/, 2, 'BAD_PASSPHRASE'), untouched);

  // Whoever can write the header but has no key turns the work around.
  await withDevice(files.header, (device) => changeDirection(device), { isReadOnly: false });
  const tampered = ['reencrypt', '--resume-only', ...args(files), files.payload];
  await refuses(t, tampered, bad(/tampered/, 4, 'HEADER_CORRUPT'), untouched);
});

/** Makes the reencryption run the other way, without the keys that its verification takes. */
function changeDirection(device: Device): Promise<void> {
  return changeHeader(device, (header) => {
    const { keyslot } = requireReencryption(header);
    const changed = editHeader(header, (document) => {
      objectMember(objectMember(document, 'keyslots'), String(keyslot)).direction = 'backward';
    });
    return { steps: planMetadata(header, changed), result: undefined };
  });
}

t.test('other passphrases are not lost unasked', { skip }, async (t) => {
  const files = makeFiles(t, MiB);
  const second = path.join(files.dir, 'second');
  fs.writeFileSync(second, 'second');
  await mustLuksfuse(['encrypt', '-q', ...args(files), ...FAST_PBKDF2, files.payload]);
  await mustLuksfuse(['add-key', files.header, second, '--key-file', files.keyFile, ...FAST_PBKDF2]);
  const again = ['reencrypt', '-q', ...args(files), ...FAST_PBKDF2, files.payload];
  const refusal = { exit: 1, code: 'BAD_ARGUMENT', message: /keyslots 1 would not open.*--key-slot/ };
  await refuses(t, again, refusal, [files.header, files.payload]);
  await mustLuksfuse(['reencrypt', '--keep-key', '--sector-size', '512', ...again.slice(1)]);
  t.equal(await cryptsetupOpens(files.header, Buffer.from('second')), 1, 'kept with the key');
  await mustLuksfuse([...again, '--key-slot', '0']);
  t.equal(await cryptsetupOpens(files.header, Buffer.from('second')), null, 'gone');
  t.ok((await readPlaintext(files, 'reencrypt')).equals(files.plaintext));
});
