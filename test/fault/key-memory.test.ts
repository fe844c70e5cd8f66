/**
 * Where keys lie in memory, found by looking at all of it: in the daemon only in pages that are locked and that no core
 * dump has, and nowhere once a volume is closed or a command is done. The pages' flags say what a dump would leave out;
 * a forced one (gcore) has 33 GB here, most of it room that V8 reserves for WASM.
 */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { deriveKey } from '../../lib/crypto/kdf.js';
import { isPassphraseKeyslot } from '../../lib/format/model.js';
import { makePair, type Pair, type PairOptions } from '../kit/cryptsetup.js';
import { read } from '../kit/headers.js';
import { mountInForeground, mountVolume } from '../kit/luksfuse.js';
import { type Found, type Needles, searchMemory } from '../kit/process-memory.js';
import { isRunning, readProcFile, requireHolder, waitUntil } from '../kit/processes.js';
import { skipUnless } from '../kit/requirements.js';
import { forkPlain } from '../kit/run.js';
import type { HolderRequest } from './key-holder.js';

const MiB = 1024 * 1024;
const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });

const FORMATS: readonly PairOptions[] = [
  { type: 'luks2', sectorSizeBytes: 512, pbkdf: 'argon2id' },
  { type: 'luks2', sectorSizeBytes: 4096 },
  { type: 'luks1', cipher: 'aes-cbc-essiv:sha256', keySizeBits: 256 },
];

/** What must not be found, or only where it may be: whole keys, and the two keys that a key of XTS is. */
interface Secrets {
  /** Needed until the volume is unlocked, and not afterwards. */
  passing: Needles;
  /** Needed as long as it is open. A key schedule begins with the key that it is made of. */
  lasting: Needles;
}

async function secretsOf(pair: Pair): Promise<Secrets> {
  const volumeKey = fs.readFileSync(pair.volumeKeyFile);
  const keyslot = (await read(pair.headerFile)).keyslots.get(0);
  if (!keyslot || !isPassphraseKeyslot(keyslot)) throw new Error('there is no keyslot 0');
  const areaKey = await deriveKey(keyslot.kdf, pair.passphrase, keyslot.area.keySizeBytes);
  const parts = (name: string, key: Buffer) => ({
    [name]: key,
    [`start of ${name}`]: key.subarray(0, 16),
    [`end of ${name}`]: key.subarray(-16),
  });
  return {
    passing: { ...parts('passphrase', pair.passphrase), ...parts('area key', areaKey) },
    lasting: parts('volume key', volumeKey),
  };
}

function tally(found: readonly Found[]): string {
  const counts = new Map<string, number>();
  for (const { name, region } of found) {
    const key = `${name} in ${region}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts].map(([key, count]) => `${count} × ${key}`).join(', ');
}

/** An open volume: no key that is done with, the others in locked pages alone, and so many of them. */
function checkOpen(t: Test, pid: number, secrets: Secrets, who: string): void {
  t.strictSame(searchMemory(pid, secrets.passing), [], `${who}: no passphrase and no key of a keyslot`);
  const found = searchMemory(pid, secrets.lasting);
  t.strictSame(
    found.filter(({ isLocked }) => !isLocked),
    [],
    `${who}: the volume key only in locked pages`,
  );
  t.ok(found.length > 0, `${who}: ${tally(found)}`);
}

function checkClean(t: Test, pid: number, secrets: Secrets, who: string): void {
  t.strictSame(searchMemory(pid, { ...secrets.passing, ...secrets.lasting }), [], `${who}: no key anywhere`);
}

for (const format of FORMATS) {
  const name = `${format.type}, ${format.cipher ?? 'aes-xts-plain64'}, sectors of ${format.sectorSizeBytes ?? 512}`;
  t.test(`the daemon, ${name}`, { skip }, async (t) => {
    const pair = await makePair(t, { ...format, sizeBytes: MiB });
    const secrets = await secretsOf(pair);
    const mount = await mountVolume(t, pair);
    fs.readFileSync(mount.file);
    const daemon = requireHolder(pair.payload);
    checkOpen(t, daemon, secrets, 'mounted');
    t.match(readProcFile(daemon, 'limits').toString(), /^Max core file size\s+0\s+0/m, 'it dumps no core');
    await mount.umount();
    await waitUntil('the daemon ends', () => !isRunning(daemon));
  });
}

t.test('a mount in the foreground, whose process has read the passphrase itself', { skip }, async (t) => {
  const pair = await makePair(t, { ...FORMATS[1]!, sizeBytes: MiB });
  const secrets = await secretsOf(pair);
  const { child, mountpoint } = await mountInForeground(t, pair);
  fs.readFileSync(path.join(mountpoint, 'payload'));
  checkOpen(t, child.pid!, secrets, 'mounted');
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  t.strictSame(await exit, [0, null], 'and nothing is left of it');
});

/** A process of key-holder.ts, ended at the teardown of `t`. */
class Holder {
  readonly #child: ChildProcess;

  constructor(t: Test) {
    const entry = fileURLToPath(new URL('./key-holder.js', import.meta.url));
    this.#child = forkPlain(entry, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    t.teardown(() => this.#child.kill('SIGKILL'));
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Returns the exit code that the request has left. */
  async ask(request: HolderRequest): Promise<number> {
    const answered = once(this.#child, 'message');
    this.#child.send(request);
    const [{ exitCode }] = (await answered) as [{ exitCode: number }];
    return exitCode;
  }
}

/** Argon2's package leaves pieces of the passphrase behind (lib/SECURITY.md); the daemon above is spared them. */
const CLEAN_FORMATS = FORMATS.filter(({ pbkdf }) => pbkdf !== 'argon2id');

for (const format of CLEAN_FORMATS) {
  t.test(`the library, ${format.type}, ${format.pbkdf ?? 'pbkdf2'}`, { skip }, async (t) => {
    const pair = await makePair(t, { ...format, sizeBytes: MiB });
    const secrets = await secretsOf(pair);
    const holder = new Holder(t);
    const open = { payload: pair.payload, headerPath: pair.headerFile, keyFile: pair.keyFile };
    await holder.ask({ open });
    checkOpen(t, holder.pid, secrets, 'open');
    await holder.ask({ close: true });
    checkClean(t, holder.pid, secrets, 'closed');
  });

  t.test(`commands, ${format.type}, ${format.pbkdf ?? 'pbkdf2'}`, { skip }, async (t) => {
    const pair = await makePair(t, { ...format, sizeBytes: MiB });
    const secrets = await secretsOf(pair);
    const newKeyFile = path.join(pair.dir, 'new-key');
    const newPassphrase = randomBytes(24);
    fs.writeFileSync(newKeyFile, newPassphrase);
    secrets.passing = { ...secrets.passing, 'new passphrase': newPassphrase };
    const wrongKeyFile = path.join(pair.dir, 'wrong-key');
    const wrongPassphrase = randomBytes(24);
    fs.writeFileSync(wrongKeyFile, wrongPassphrase);
    secrets.passing = { ...secrets.passing, 'wrong passphrase': wrongPassphrase };
    const { headerFile, keyFile } = pair;
    const pbkdf = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
    const commands = [
      { args: ['test-key', '--key-file', keyFile, headerFile], exitCode: 0 },
      { args: ['test-key', '--key-file', wrongKeyFile, headerFile], exitCode: 2 },
      { args: ['test-key', '--volume-key-file', pair.volumeKeyFile, headerFile], exitCode: 0 },
      {
        args: ['add-key', '--key-file', keyFile, '--new-key-file', newKeyFile, ...pbkdf, headerFile],
        exitCode: 0,
      },
      { args: ['remove-key', '--key-file', newKeyFile, headerFile], exitCode: 0 },
    ];
    for (const { args, exitCode } of commands) {
      const holder = new Holder(t);
      t.equal(await holder.ask({ command: args }), exitCode, `${args[0]} ${args[1]}`);
      checkClean(t, holder.pid, secrets, `${args[0]} ${args[1]} has ended`);
    }
  });
}
