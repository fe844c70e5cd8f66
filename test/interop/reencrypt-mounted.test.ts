/**
 * Volumes whose reencryption was cut short, used before it goes on: mounted, read and written on both sides of the
 * border, and gone on with afterwards by us or by cryptsetup.
 */
import { randomBytes, randomInt } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { cryptsetup } from '../kit/cryptsetup.js';
import { FAST_PBKDF2, read } from '../kit/headers.js';
import { killWhen, runAndKill } from '../kit/killed-run.js';
import { luksfuse, mountVolume, mustLuksfuse, PROGRAM } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { statusOf } from '../kit/serving.js';
import { makeTempDir } from '../kit/temp.js';

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });
const MiB = 1024 * 1024;
const SIZE_BYTES = 24 * MiB;
const ZONE = ['--hotzone-size', '512K'];
const OFFLINE = '--force-offline-reencrypt';
const EDITS = 40;
const MAX_EDIT_BYTES = 200_000;

type Mode = 'encrypt' | 'reencrypt' | 'decrypt';
type Tool = 'ours' | 'cryptsetup';
const THEIR_MODES = { encrypt: ['--encrypt', '--type', 'luks2'], reencrypt: [], decrypt: ['--decrypt'] };

class Volume {
  readonly header: string;
  readonly payload: string;
  readonly keyFile: string;
  readonly model = randomBytes(SIZE_BYTES);

  constructor(dir: string) {
    [this.header, this.payload, this.keyFile] = ['header', 'payload', 'key'].map((name) =>
      path.join(dir, name),
    ) as [string, string, string];
    fs.writeFileSync(this.keyFile, 'a passphrase');
    fs.writeFileSync(this.payload, this.model);
  }

  get args(): string[] {
    return ['--header', this.header, '--key-file', this.keyFile];
  }

  async begin(mode: Mode, tool: Tool): Promise<void> {
    if (mode !== 'encrypt') await this.#encrypt();
    const pbkdf = mode === 'decrypt' ? [] : FAST_PBKDF2;
    const how = ['--init-only', '--resilience', 'checksum', ...this.args, ...pbkdf, this.payload];
    if (tool === 'ours') await mustLuksfuse([mode, '-q', ...how]);
    else {
      await cryptsetup('reencrypt', ...THEIR_MODES[mode], ...(mode === 'encrypt' ? [] : [OFFLINE]), ...how);
    }
  }

  #encrypt() {
    const how = [...this.args, ...FAST_PBKDF2, '--sector-size', '512', this.payload];
    return cryptsetup('reencrypt', ...THEIR_MODES.encrypt, ...how);
  }

  /** Lets `tool` work until it is somewhere in the middle, and kills it there. */
  async workInPart(tool: Tool): Promise<void> {
    const how = ['reencrypt', '--resume-only', ...ZONE, ...this.args, this.payload];
    const [command, extra] = tool === 'ours' ? [PROGRAM, []] : ['cryptsetup', ['-q', OFFLINE]];
    await runAndKill(
      command,
      [...how, ...extra],
      killWhen(() => this.#isInTheMiddle()),
    );
  }

  /** Parts of both kinds, beside the backups. */
  async #isInTheMiddle(): Promise<boolean> {
    const { segments } = await read(this.header);
    return segments.length >= 4;
  }

  /** Overwrites random places of the plaintext in `file`, and remembers it. */
  edit(file: string): void {
    const fd = fs.openSync(file, 'r+');
    for (let edit = 0; edit < EDITS; edit += 1) {
      const bytes = randomBytes(randomInt(1, MAX_EDIT_BYTES));
      const at = randomInt(SIZE_BYTES - bytes.length);
      fs.writeSync(fd, bytes, 0, bytes.length, at);
      bytes.copy(this.model, at);
    }
    fs.fsyncSync(fd);
    fs.closeSync(fd);
  }

  async finish(tool: Tool): Promise<void> {
    const how = ['reencrypt', '--resume-only', ...this.args];
    if (tool === 'ours') await mustLuksfuse([...how, this.payload]);
    else await cryptsetup(...how, OFFLINE, this.payload);
  }

  async readAtTheEnd(mode: Mode): Promise<Buffer> {
    if (mode !== 'decrypt') await cryptsetup('reencrypt', '--decrypt', OFFLINE, ...this.args, this.payload);
    return fs.readFileSync(this.payload);
  }
}

async function useInTheMiddle(t: Test, mode: Mode, tool: Tool): Promise<void> {
  const volume = new Volume(makeTempDir(t));
  const { header, payload, keyFile } = volume;
  await volume.begin(mode, tool);
  await volume.workInPart(tool);
  const mount = await mountVolume(t, { header, payload, keyFile });
  const { reencryption } = await statusOf(mount.mountpoint);
  t.match(reencryption, { mode, state: 'paused', totalBytes: SIZE_BYTES });
  t.ok(reencryption!.doneBytes > 0 && reencryption!.doneBytes < SIZE_BYTES, 'in the middle');
  t.ok(fs.readFileSync(mount.file).equals(volume.model), 'all of it is there');
  volume.edit(mount.file);
  t.ok(fs.readFileSync(mount.file).equals(volume.model), 'and can be written');
  const refused = await luksfuse(['reencrypt', '--resume-only', ...volume.args, payload]);
  t.match(`${refused.stderr}`, /in use/, 'nobody else works on it meanwhile');
  await mount.umount();
  const { stdout } = await mustLuksfuse(['cat', ...volume.args, payload]);
  t.ok(stdout.equals(volume.model), 'cat agrees');
  await volume.finish(tool);
  t.ok((await volume.readAtTheEnd(mode)).equals(volume.model), 'gone on with, all of it is there');
}

for (const mode of ['encrypt', 'reencrypt', 'decrypt'] as const) {
  for (const tool of ['ours', 'cryptsetup'] as const) {
    t.test(`${mode} by ${tool}, mounted in the middle`, { skip }, (t) => useInTheMiddle(t, mode, tool));
  }
}
