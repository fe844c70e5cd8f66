/**
 * Headers that others change while we derive a key for them: nobody waits for that, and nothing of theirs is lost.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { Device } from '../../lib/device.js';
import { readHeader } from '../../lib/format/header.js';
import { configure } from '../../lib/format/settings.js';
import { addKey, changeKey, killSlot } from '../../lib/keyslot/keys.js';
import { beginDecryption } from '../../lib/volume/reencrypt-begin.js';
import { cryptsetup } from '../kit/cryptsetup.js';
import { bothOpen } from '../kit/header-commands.js';
import { FAST_PBKDF2, formatHeader, type HeaderFiles, read, withDevice } from '../kit/headers.js';
import { mustLuksfuse, PROGRAM } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { cleanEnv, mustRun } from '../kit/run.js';

const skip = skipUnless({ tools: ['cryptsetup'] });
const PBKDF2 = { type: 'pbkdf2', forceIterations: 1000 } as const;
const TYPES = ['luks1', 'luks2'] as const;

const change = <T>(files: HeaderFiles, use: (device: Device) => Promise<T>) =>
  withDevice(files.header, use, { isReadOnly: false });

function fileOf(files: HeaderFiles, text: string): string {
  const file = path.join(files.dir, text);
  fs.writeFileSync(file, text);
  return file;
}

t.test('keys added between the old key and the lock: each in a keyslot of its own', { skip }, async (t) => {
  for (const type of TYPES) {
    const files = await formatHeader(t, type);
    const unlock = { passphrase: files.passphrase };
    const keyslot = await change(files, (device) =>
      addKey(
        device,
        unlock,
        async () => {
          const args = [...FAST_PBKDF2, '--key-file', files.keyFile, files.header, fileOf(files, 'theirs')];
          await cryptsetup('luksAddKey', ...args);
          const other = { pbkdf: PBKDF2 };
          t.equal(await change(files, (again) => addKey(again, unlock, Buffer.from('other'), other)), 2);
          if (type === 'luks2') await change(files, (again) => configure(again, { label: 'meanwhile' }));
          return Buffer.from('ours');
        },
        { pbkdf: PBKDF2 },
      ),
    );
    t.equal(keyslot, 3);
    for (const [index, key] of [files.passphrase, 'theirs', 'other', 'ours'].entries()) {
      await bothOpen(t, files.header, key, index, type);
    }
    if (type === 'luks2') t.equal((await read(files.header)).label, 'meanwhile');
  }
});

t.test('a keyslot that was destroyed meanwhile neither comes back nor gives a key', { skip }, async (t) => {
  for (const type of TYPES) {
    const files = await formatHeader(t, type);
    const others = [...FAST_PBKDF2, '--key-file', files.keyFile, files.header, fileOf(files, 'second')];
    await cryptsetup('luksAddKey', ...others);
    const add: typeof changeKey = (device, passphrase, ...rest) => addKey(device, { passphrase }, ...rest);
    for (const use of [changeKey, add]) {
      const kill = async () => {
        await change(files, (again) => killSlot(again, 0));
        return Buffer.from('new');
      };
      await t.rejects(
        change(files, (device) => use(device, files.passphrase, kill, { pbkdf: PBKDF2 })),
        { code: 'BUSY', message: /changed by another program meanwhile; try again/ },
      );
      await bothOpen(t, files.header, files.passphrase, null, type);
      await bothOpen(t, files.header, 'new', null, type);
      // Back in its number, but not the one that opened.
      const back = { pbkdf: PBKDF2, keyslot: 0 };
      await change(files, (device) =>
        addKey(device, { passphrase: Buffer.from('second') }, files.passphrase, back),
      );
    }
    const replaced = async () => {
      await change(files, (again) => killSlot(again, 0));
      const unlock = { passphrase: Buffer.from('second') };
      const again = { pbkdf: PBKDF2, keyslot: 0 };
      await change(files, (device) => addKey(device, unlock, Buffer.from('third'), again));
      return Buffer.from('new');
    };
    await t.rejects(
      change(files, (device) => changeKey(device, files.passphrase, replaced, { pbkdf: PBKDF2 })),
      { code: 'BUSY' },
    );
    await bothOpen(t, files.header, 'third', 0, `${type}: another key in the same number`);
  }
});

t.test('a reencryption is not begun on a header that was changed meanwhile', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2', '--sector-size', '512');
  const changed = path.join(files.dir, 'changed');
  fs.copyFileSync(files.header, changed);
  await cryptsetup('config', '--label', 'meanwhile', changed);
  const payload = Device.open(files.payload, { isReadOnly: false });
  t.teardown(() => payload.close());
  const begin = change(files, (device) =>
    beginDecryption(
      device,
      payload,
      { passphrase: files.passphrase },
      {
        get resilience() {
          fs.copyFileSync(changed, files.header);
          return 'none' as const;
        },
      },
    ),
  );
  await t.rejects(begin, { code: 'BUSY', message: /changed by another program meanwhile/ });
  t.equal(Buffer.compare(fs.readFileSync(changed), fs.readFileSync(files.header)), 0);
});

t.test('nobody waits for a key derivation', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  const slow = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '10000000', '--key-file', files.keyFile];
  const fifo = path.join(files.dir, 'fifo');
  await mustLuksfuse(['config', '--label', 'before', files.header]);
  await mustRun('mkfifo', [fifo]);
  const slowly = spawn(PROGRAM, ['add-key', ...slow, files.header, fifo], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: cleanEnv(),
  });
  t.teardown(() => slowly.kill('SIGKILL'));
  const ended = once(slowly, 'exit');
  // Its reader has the old key, and derives as soon as it has this.
  await fs.promises.writeFile(fifo, 'slow');
  await mustLuksfuse(['config', '--label', 'meanwhile', files.header]);
  const quick = [...FAST_PBKDF2, '--key-file', files.keyFile, files.header];
  await mustLuksfuse(['add-key', ...quick, fileOf(files, 'quick')]);
  await cryptsetup('luksAddKey', ...quick, fileOf(files, 'theirs'));
  t.equal(slowly.exitCode, null, 'it derives still');
  t.strictSame(await ended, [0, null]);
  t.equal((await read(files.header)).label, 'meanwhile');
  for (const [index, key] of [files.passphrase, 'quick', 'theirs', 'slow'].entries()) {
    await bothOpen(t, files.header, key, index, 'after it');
  }
  await withDevice(files.header, (device) => t.equal(readHeader(device).keyslots.size, 4));
});
