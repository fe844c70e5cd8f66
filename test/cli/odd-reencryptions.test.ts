/**
 * Headers whose record of a reencryption lacks a part, or contradicts itself: whatever a command makes of one, it says so in a
 * sentence, and is no fault of the program.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { FAST_PBKDF2 } from '../kit/headers.js';
import { editJson, type LooseJson, readJson } from '../kit/luks2-image.js';
import { clearMount, luksfuse, mustLuksfuse } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { makeTempDir } from '../kit/temp.js';

const skip = skipUnless({ root: true, fuse: true });
const MiB = 1024 * 1024;

const [PREVIOUS, FINAL] = ['backup-previous', 'backup-final'];
const HOT = 'in-reencryption';

function removeSegment(json: LooseJson, flag: string): void {
  for (const [id, { flags }] of Object.entries<LooseJson>(json.segments)) {
    if (flags?.includes(flag)) delete json.segments[id];
  }
  dropDangling(json);
}

/** What a header may not have: digests of segments or keyslots that are not there. */
function dropDangling(json: LooseJson): void {
  for (const digest of Object.values<LooseJson>(json.digests)) {
    digest.segments = digest.segments.filter((id: string) => id in json.segments);
    digest.keyslots = digest.keyslots.filter((id: string) => id in json.keyslots);
  }
}

const recordOf = (json: LooseJson) =>
  Object.values<LooseJson>(json.keyslots).find(({ type }) => type === 'reencrypt');

function removeKeyslots(json: LooseJson, isToGo: (type: string) => boolean): void {
  for (const [id, { type }] of Object.entries<LooseJson>(json.keyslots)) {
    if (isToGo(type)) delete json.keyslots[id];
  }
  dropDangling(json);
}

const firstOf = (json: LooseJson) => json.segments['0'];

const EDITS: Record<string, (json: LooseJson) => void> = {
  'no requirement': (json) => delete json.config.requirements,
  'another requirement': (json) => {
    json.config.requirements.mandatory = ['online-reencrypt-v3'];
  },
  'an unknown requirement': (json) => json.config.requirements.mandatory.push('something-new'),
  'no requirement and no keyslot for it': (json) => {
    delete json.config.requirements;
    removeKeyslots(json, (type) => type === 'reencrypt');
  },
  'no keyslot for it': (json) => removeKeyslots(json, (type) => type === 'reencrypt'),
  'no keyslot but that': (json) => removeKeyslots(json, (type) => type !== 'reencrypt'),
  'no previous segment': (json) => removeSegment(json, PREVIOUS!),
  'no final segment': (json) => removeSegment(json, FINAL!),
  'neither backup, and no requirement': (json) => {
    delete json.config.requirements;
    for (const flag of [PREVIOUS!, FINAL!]) removeSegment(json, flag);
  },
  'nothing but the backups': (json) => {
    for (const [id, { flags }] of Object.entries<LooseJson>(json.segments)) {
      if (!flags?.some((flag: string) => flag.startsWith('backup-'))) delete json.segments[id];
    }
    dropDangling(json);
  },
  'no segment': (json) => {
    json.segments = {};
    dropDangling(json);
  },
  'a hot segment at the start': (json) => {
    firstOf(json).flags = [HOT];
  },
  'no digest of the segments': (json) => {
    for (const digest of Object.values<LooseJson>(json.digests)) digest.segments = [];
  },
  'no digest that vouches for it': (json) => {
    const [id] = Object.entries<LooseJson>(json.keyslots).find(([, { type }]) => type === 'reencrypt')!;
    for (const [digest, { keyslots }] of Object.entries<LooseJson>(json.digests)) {
      if (keyslots.includes(id)) delete json.digests[digest];
    }
  },
  'two digests for the segments': (json) => {
    const used = Object.values<LooseJson>(json.digests).filter(({ segments }) => segments.length > 0);
    const all = used.flatMap(({ segments }) => segments);
    for (const digest of used) digest.segments = all;
  },
  'one segment, of two digests': (json) => {
    delete json.config.requirements;
    removeKeyslots(json, (type) => type === 'reencrypt');
    json.segments = { 0: { ...firstOf(json), size: 'dynamic' } };
    for (const digest of Object.values<LooseJson>(json.digests)) {
      if (digest.keyslots.length > 0) digest.segments = ['0'];
    }
  },
  'an unknown protection': (json) => {
    recordOf(json).area.type = 'luck';
  },
  'an unknown hash': (json) => {
    recordOf(json).area.hash = 'luck';
  },
  'an unknown direction': (json) => {
    recordOf(json).direction = 'sideways';
  },
  'an unknown mode': (json) => {
    recordOf(json).mode = 'turn';
  },
  'odd blocks': (json) => {
    recordOf(json).area.sector_size = 3;
  },
};

interface Files {
  header: string;
  payload: string;
  keyFile: string;
}

/** In the middle of a reencryption that changes the sector size, or at the beginning of an encryption. */
async function begin(t: Test, mode: 'encrypt' | 'reencrypt'): Promise<Files> {
  const dir = makeTempDir(t);
  const at = (name: string) => path.join(dir, name);
  const files = { header: at('header'), payload: at('payload'), keyFile: at('key') };
  fs.writeFileSync(files.keyFile, 'a passphrase');
  fs.writeFileSync(files.payload, randomBytes(MiB));
  const how = ['-q', '--header', files.header, '--key-file', files.keyFile, ...FAST_PBKDF2, files.payload];
  await mustLuksfuse(['encrypt', ...(mode === 'encrypt' ? ['--init-only'] : []), ...how]);
  if (mode === 'encrypt') return files;
  await mustLuksfuse(['reencrypt', '--init-only', ...how]);
  editJson(files.header, (json) => {
    const [previous, final] = [PREVIOUS, FINAL].map((flag) =>
      Object.values<LooseJson>(json.segments).find(({ flags }) => flags?.includes(flag)),
    );
    const half = MiB / 2;
    const old = { ...previous, flags: [], offset: `${half}`, iv_tweak: `${half / 512}` };
    json.segments = { 0: { ...final, flags: [], size: `${half}` }, 1: old, 2: previous, 3: final };
    const [before, after] = ['0', '1'];
    for (const [id, digest] of Object.entries<LooseJson>(json.digests)) {
      if (digest.segments.length > 0)
        digest.segments = id === before ? ['1', '2'] : id === after ? ['0', '3'] : [];
    }
  });
  return files;
}

/** Commands that read the record in one way or the other, as they are typed. */
function commandLines(
  mode: 'encrypt' | 'reencrypt',
  { header, payload, keyFile }: Files,
  mountpoint: string,
) {
  const key = ['--key-file', keyFile];
  const both = ['--header', header, ...key];
  const ofAll = [
    ['cat', '--length', '512', ...both, payload],
    [mode, '--resume-only', ...both, payload],
  ];
  if (mode === 'encrypt') return ofAll;
  return [
    ...ofAll,
    ['write', ...both, payload],
    ['write', '--pair', ...both, payload],
    ['repair', '-q', ...both, payload],
    ['mount', ...both, payload, mountpoint],
    ['test-key', ...key, header],
    ['dump', header],
    ['reencrypt', '-q', ...both, ...FAST_PBKDF2, payload],
  ];
}

for (const mode of ['encrypt', 'reencrypt'] as const) {
  t.test(`${mode}: every command on every odd record`, { skip }, async (t) => {
    const files = await begin(t, mode);
    const mountpoint = makeTempDir(t);
    t.teardown(() => clearMount(mountpoint));
    const kept = [files.header, files.payload].map((file) => [file, fs.readFileSync(file)] as const);
    t.ok(readJson(kept[0]![1]).config.requirements, 'one is under way');
    const restore = () => {
      for (const [file, bytes] of kept) fs.writeFileSync(file, bytes);
    };
    for (const [name, edit] of [['as it is', () => {}] as const, ...Object.entries(EDITS)]) {
      for (const args of commandLines(mode, files, mountpoint)) {
        restore();
        editJson(files.header, edit);
        const { code, stderr } = await luksfuse(args, { input: Buffer.alloc(512) });
        await clearMount(mountpoint);
        const isSaid = code !== null && code <= 5 && !/fault in luksfuse itself|\n\s+at /.test(stderr);
        if (name.includes('no requirement') && args[0] === 'cat' && mode === 'reencrypt') {
          t.equal(code, 4, name);
          t.match(stderr, /does not say that one is under way/);
        }
        if (!isSaid) t.fail(`${name}: ${args.slice(0, 2).join(' ')}: ${code}: ${stderr}`);
      }
    }
  });
}
