/**
 * Power fails at every write of every header command, and within it: the header that is left is whole and opens with
 * the old or the new keys, in ours and in cryptsetup.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { type Device, MemoryDevice } from '../../lib/device.js';
import { LuksError } from '../../lib/errors.js';
import { backupHeader, restoreHeader } from '../../lib/format/backup.js';
import { convertHeader } from '../../lib/format/convert.js';
import { readHeader } from '../../lib/format/header.js';
import type { LuksHeader } from '../../lib/format/model.js';
import { repairHeader } from '../../lib/format/repair.js';
import { addToken, configure, keyringToken, removeToken } from '../../lib/format/settings.js';
import { addKey, changeKey, erase, killSlot, removeKey } from '../../lib/keyslot/keys.js';
import { openKeyslot } from '../../lib/keyslot/open.js';
import { recordPairing } from '../../lib/keyslot/pairing.js';
import { formatVolume } from '../../lib/volume/create.js';
import { cutImages, recordWrites, type Write } from '../kit/cuts.js';
import {
  cryptsetupOpens,
  dumpVolumeKey,
  formatHeader,
  type HeaderFiles,
  withDevice,
} from '../kit/headers.js';
import { hdrSizeOf } from '../kit/luks2-image.js';
import { skipUnless } from '../kit/requirements.js';
import { run } from '../kit/run.js';

const skip = skipUnless({ tools: ['cryptsetup'] });
const PBKDF2 = { type: 'pbkdf2', forceIterations: 1000 } as const;
const SMALL = ['--luks2-keyslots-size', '2m'];
const [SECOND, NEW] = [Buffer.from('second'), Buffer.from('new')];
const BOTH = ['luks1', 'luks2'] as const;
const WRITABLE = { isReadOnly: false };

/** What must hold of every image that a cut leaves. */
interface Demand {
  /** Of each group at least one key must open. */
  groups: Buffer[][];
  /** There may be no header at all: none was there before, or it is being replaced by another. */
  mayBeNone?: boolean;
}

interface Scenario {
  name: string;
  types: readonly ('luks1' | 'luks2')[];
  command: (device: Device, files: HeaderFiles) => Promise<unknown>;
  /** Before the command: a change to the header file. */
  before?: (image: Buffer) => void;
  keys: (first: Buffer) => Buffer[][];
}

const UNCHANGED = (first: Buffer) => [[first], [SECOND]];

const SCENARIOS: Scenario[] = [
  {
    name: 'add-key',
    types: BOTH,
    command: (device, { passphrase }) => addKey(device, { passphrase }, NEW, { pbkdf: PBKDF2 }),
    keys: UNCHANGED,
  },
  {
    name: 'add-key to the keyslot whose fields lie in two sectors',
    types: ['luks1'],
    command: (device, { passphrase }) => addKey(device, { passphrase }, NEW, { pbkdf: PBKDF2, keyslot: 6 }),
    keys: UNCHANGED,
  },
  {
    name: 'change-key',
    types: BOTH,
    command: (device) => changeKey(device, SECOND, NEW, { pbkdf: PBKDF2 }),
    keys: (first) => [[first], [SECOND, NEW]],
  },
  {
    name: 'remove-key',
    types: BOTH,
    command: (device) => removeKey(device, SECOND),
    keys: (first) => [[first]],
  },
  { name: 'kill-slot', types: BOTH, command: (device) => killSlot(device, 0), keys: () => [[SECOND]] },
  { name: 'erase', types: BOTH, command: (device) => erase(device), keys: () => [] },
  {
    name: 'config',
    types: ['luks2'],
    command: (device) => configure(device, { label: 'new label', flags: ['allow-discards'] }),
    keys: UNCHANGED,
  },
  {
    name: 'token add',
    types: ['luks2'],
    command: (device) => addToken(device, keyringToken('x', [0])),
    keys: UNCHANGED,
  },
  { name: 'token remove', types: ['luks2'], command: (device) => removeToken(device, 5), keys: UNCHANGED },
  {
    name: 'the record of a pairing',
    types: ['luks2'],
    command: async (device, files) => recordPairing(device, await dumpVolumeKey(files), 1024 * 1024),
    keys: UNCHANGED,
  },
  {
    name: 'config with a damaged secondary copy',
    types: ['luks2'],
    before: (image) => image.fill(0xff, hdrSizeOf(image) + 4096, hdrSizeOf(image) + 4100),
    command: (device) => configure(device, { label: 'new label' }),
    keys: UNCHANGED,
  },
  {
    name: 'config with a damaged primary copy',
    types: ['luks2'],
    before: (image) => image.fill(0xff, 4096, 4100),
    command: (device) => configure(device, { label: 'new label' }),
    keys: UNCHANGED,
  },
  {
    name: 'repair of a primary copy that is gone',
    types: ['luks2'],
    before: (image) => image.fill(0, 0, 4096),
    command: (device) => repairHeader(device),
    keys: UNCHANGED,
  },
  {
    name: 'repair of a secondary copy that is gone',
    types: ['luks2'],
    before: (image) => image.fill(0, hdrSizeOf(image), hdrSizeOf(image) + 4096),
    command: (device) => repairHeader(device),
    keys: UNCHANGED,
  },
  {
    name: 'convert to LUKS2',
    types: ['luks1'],
    command: (device) => convertHeader(device, 2),
    keys: UNCHANGED,
  },
  {
    name: 'convert to LUKS1',
    types: ['luks2'],
    command: async (device) => {
      await removeToken(device, 5); // which LUKS1 has no place for
      await convertHeader(device, 1);
    },
    keys: UNCHANGED,
  },
];

/** Two keyslots and, in LUKS2, a token. cryptsetup makes LUKS2 of 4096-byte sectors here by default; LUKS1 has none. */
async function makeHeader(t: Test, type: string): Promise<HeaderFiles> {
  const args = type === 'luks2' ? [...SMALL, '--sector-size', '512'] : [];
  const files = await formatHeader(t, type, ...args);
  const unlock = { passphrase: files.passphrase };
  const options = { pbkdf: PBKDF2, keyslot: 1 };
  await withDevice(
    files.header,
    async (device) => {
      await addKey(device, unlock, SECOND, options);
      if (type === 'luks2') await addToken(device, keyringToken('of keyslot 1', [1]), 5);
    },
    WRITABLE,
  );
  return files;
}

/** A magic alone, with no version behind it yet, is UNSUPPORTED. */
function isNoHeader(error: unknown): boolean {
  return error instanceof LuksError && ['NOT_LUKS', 'HEADER_CORRUPT', 'UNSUPPORTED'].includes(error.code);
}

/**
 * Checks images. Most cuts leave one of few states: what opens is remembered by all that it depends on, the metadata
 * as it is read and the bytes of the keyslots' areas.
 */
class Inspector {
  readonly #demand: Demand;
  readonly #file: string;
  readonly #known = new Map<string, string | null>();

  /** @param file for cryptsetup to look at. */
  constructor(demand: Demand, file: string) {
    this.#demand = demand;
    this.#file = file;
  }

  /** What is wrong with the header, or null. */
  async findProblem(image: Buffer, asksCryptsetup: boolean): Promise<string | null> {
    const ours = await this.#findOurProblem(image);
    if (ours !== null || !asksCryptsetup) return ours;
    fs.writeFileSync(this.#file, image);
    return this.#findTheirProblem();
  }

  async #findOurProblem(image: Buffer): Promise<string | null> {
    const device = new MemoryDevice(image, 'the image');
    let header: LuksHeader;
    try {
      header = readHeader(device);
    } catch (error) {
      return this.#demand.mayBeNone && isNoHeader(error) ? null : (error as Error).message;
    }
    const state = createHash('sha1').update(JSON.stringify([header.version, header.document]));
    for (const { area } of header.keyslots.values()) {
      if (area) state.update(image.subarray(area.offsetBytes, area.offsetBytes + area.sizeBytes));
    }
    const key = state.digest('hex');
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const problem = await this.#findUnopened(async (passphrase) => {
      const opened = await openKeyslot(device, header, passphrase);
      opened?.volumeKey.destroy();
      return opened !== null;
    });
    this.#known.set(key, problem);
    return problem;
  }

  /** cryptsetup writes to headers that it can repair. */
  async #findTheirProblem(): Promise<string | null> {
    const { code, stderr } = await run('cryptsetup', ['luksDump', this.#file]);
    if (code !== 0) return this.#demand.mayBeNone ? null : `cryptsetup does not read it: ${stderr}`;
    const problem = await this.#findUnopened(
      async (passphrase) => (await cryptsetupOpens(this.#file, passphrase)) !== null,
    );
    return problem && `cryptsetup: ${problem}`;
  }

  async #findUnopened(opens: (passphrase: Buffer) => Promise<boolean>): Promise<string | null> {
    for (const [index, group] of this.#demand.groups.entries()) {
      let isOpen = false;
      for (const passphrase of group) isOpen ||= await opens(passphrase);
      if (!isOpen) return `no key of group ${index} opens it`;
    }
    return null;
  }
}

/** Checks every image that a cut of `writes` leaves. */
async function checkCuts(t: Test, before: Buffer, writes: readonly Write[], demand: Demand, dir: string) {
  const inspector = new Inspector(demand, path.join(dir, 'cut'));
  let count = 0;
  for (const { name, image, isMajor } of cutImages(before, writes)) {
    const problem = await inspector.findProblem(image, isMajor);
    if (problem !== null) t.fail(`${name}: ${problem}`);
    count += 1;
  }
  t.ok(count > 2 * writes.length, `${count} cuts of ${writes.length} writes`);
}

for (const { name, types, command, before, keys } of SCENARIOS) {
  for (const type of types) {
    t.test(`${type}: ${name}`, { skip }, async (t) => {
      const files = await makeHeader(t, type);
      const image = fs.readFileSync(files.header);
      before?.(image);
      fs.writeFileSync(files.header, image);
      const writes = await recordWrites(files.header, () =>
        withDevice(files.header, (device) => command(device, files), WRITABLE),
      );
      await checkCuts(t, image, writes, { groups: keys(files.passphrase) }, files.dir);
    });
  }
}

for (const type of BOTH) {
  const options = { version: type === 'luks1' ? 1 : 2, keyslotsSizeBytes: 1024 * 1024 } as const;
  for (const isOver of [false, true]) {
    t.test(`${type}: format over ${isOver ? 'another header' : 'nothing'}`, { skip }, async (t) => {
      const files = await makeHeader(t, type);
      if (!isOver) fs.rmSync(files.header);
      const before = isOver ? fs.readFileSync(files.header) : null;
      const writes = await recordWrites(files.header, () =>
        formatVolume(files, NEW, { ...options, pbkdf: PBKDF2, overwrite: isOver }),
      );
      const blank = Buffer.alloc(fs.statSync(files.header).size);
      const demand = { groups: [isOver ? [files.passphrase, NEW] : [NEW]], mayBeNone: true };
      await checkCuts(t, before ?? blank, writes, demand, files.dir);
    });
  }

  t.test(`${type}: header-restore, with the replaced header beside it`, { skip }, async (t) => {
    const files = await makeHeader(t, type);
    const [backup, kept, cut] = ['backup', 'kept', 'cut'].map((name) => path.join(files.dir, name)) as [
      string,
      string,
      string,
    ];
    await withDevice(files.header, (device) => backupHeader(device, backup), WRITABLE);
    await withDevice(files.header, (device) => changeKey(device, SECOND, NEW, { pbkdf: PBKDF2 }), WRITABLE);
    const image = fs.readFileSync(files.header);
    const restore = (file: string, keepReplacedAt?: string) =>
      withDevice(
        file,
        (device) =>
          withDevice(backup, (source) =>
            restoreHeader(device, source, { ...(keepReplacedAt && { keepReplacedAt }) }),
          ),
        WRITABLE,
      );
    const writes = await recordWrites(files.header, () => restore(files.header, kept));
    const replaced = new Inspector({ groups: [[NEW], [files.passphrase]] }, cut);
    t.equal(await replaced.findProblem(fs.readFileSync(kept), true), null, 'the replaced header is usable');
    await checkCuts(t, image, writes, { groups: [[files.passphrase]] }, files.dir);
    const restored = new Inspector({ groups: [[SECOND], [files.passphrase]] }, cut);
    for (const { name: where, image: left, isMajor } of cutImages(image, writes)) {
      if (!isMajor) continue;
      fs.writeFileSync(cut, left);
      await restore(cut);
      t.equal(await restored.findProblem(fs.readFileSync(cut), false), null, `${where}: restored again`);
    }
  });

  t.test(`${type}: header-backup that was cut is not restored`, { skip }, async (t) => {
    const files = await makeHeader(t, type);
    const backup = path.join(files.dir, 'backup');
    const cut = path.join(files.dir, 'cut');
    await withDevice(files.header, (device) => backupHeader(device, backup), WRITABLE);
    const whole = fs.readFileSync(backup);
    const before = fs.readFileSync(files.header);
    for (const sizeBytes of [0, 1, 512, 4096, 16384, 100000, whole.length >> 1, whole.length - 8192]) {
      fs.writeFileSync(cut, whole.subarray(0, sizeBytes));
      await t.rejects(
        withDevice(
          files.header,
          (device) => withDevice(cut, (source) => restoreHeader(device, source)),
          WRITABLE,
        ),
        { code: /HEADER_CORRUPT|NOT_LUKS/ },
        `${sizeBytes} bytes`,
      );
    }
    // What is missing need not be at the end: blocks of a new file may be written in any order.
    fs.writeFileSync(cut, Buffer.from(whole).fill(0, whole.length >> 2, whole.length >> 1));
    await t.rejects(
      withDevice(
        files.header,
        (device) => withDevice(cut, (source) => restoreHeader(device, source)),
        WRITABLE,
      ),
      { code: 'HEADER_CORRUPT', message: /checksum does not match/ },
    );
    t.ok(fs.readFileSync(files.header).equals(before));
  });
}
