import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import {
  beginDecryption,
  beginEncryption,
  beginReencryption,
  Device,
  formatVolume,
  locateHeader,
  mountVolume,
  openReencryption,
  openVolume,
  runReencryption,
} from '../../lib/index.js';
import { findMount } from '../kit/mounts.js';
import { skipUnless } from '../kit/requirements.js';
import { makeTempDir } from '../kit/temp.js';

const PASSPHRASE = Buffer.from([0, 0xff, 10, 13, 1]);

async function newVolume(dir: string): Promise<{ header: string; payload: string }> {
  const paths = { header: path.join(dir, 'header'), payload: path.join(dir, 'payload') };
  fs.writeFileSync(paths.payload, Buffer.alloc(1024 * 1024));
  await formatVolume(paths, PASSPHRASE, { pbkdf: { type: 'pbkdf2', forceIterations: 1000 } });
  return paths;
}

t.test('format, open, write, read, close', async (t) => {
  const { header, payload } = await newVolume(makeTempDir(t));
  const located = locateHeader(header);
  t.equal(located.header.version, 2);
  located.device.close();
  const volume = await openVolume(payload, { passphrase: PASSPHRASE }, { headerPath: header });
  volume.write(Buffer.from('plain text'), 1000);
  volume.sync();
  volume.close();
  const again = await openVolume(
    payload,
    { passphrase: PASSPHRASE },
    { headerPath: header, isReadOnly: true },
  );
  const text = Buffer.alloc(10);
  again.read(text, 1000);
  t.equal(text.toString(), 'plain text');
  again.close();
  const wrong = openVolume(payload, { passphrase: Buffer.from('no') }, { headerPath: header });
  await t.rejects(wrong, { code: 'BAD_PASSPHRASE' });
});

t.test(
  'a mount that the process itself serves',
  { skip: skipUnless({ root: true, fuse: true }) },
  async (t) => {
    const dir = makeTempDir(t);
    const { header, payload } = await newVolume(dir);
    const mountpoint = path.join(dir, 'mnt');
    fs.mkdirSync(mountpoint);
    const options = { headerPath: header, fileName: 'disk', workerCount: 2 };
    const served = await mountVolume(payload, mountpoint, { passphrase: PASSPHRASE }, options);
    t.equal(served.info.file, path.join(mountpoint, 'disk'));
    await fs.promises.writeFile(served.info.file, 'through the mount', { flag: 'r+' });
    t.equal((await fs.promises.readFile(served.info.file)).subarray(0, 17).toString(), 'through the mount');
    const second = mountVolume(payload, dir, { passphrase: PASSPHRASE }, { headerPath: header });
    await t.rejects(second, { code: 'BUSY' });
    await served.unmount();
    await served.closed;
    t.notOk(findMount(mountpoint));
  },
);

t.test('encrypt, reencrypt and decrypt in place, stopped and gone on with', async (t) => {
  const dir = makeTempDir(t);
  const paths = { header: path.join(dir, 'header'), payload: path.join(dir, 'payload') };
  const plaintext = Buffer.alloc(1024 * 1024, 'plain text ');
  fs.writeFileSync(paths.payload, plaintext);
  const pbkdf = { type: 'pbkdf2', forceIterations: 1000 } as const;
  const unlock = { passphrase: PASSPHRASE };
  await beginEncryption(paths, PASSPHRASE, { pbkdf });
  const [device, payload] = [paths.header, paths.payload].map((file) =>
    Device.open(file, { isReadOnly: false }),
  ) as [Device, Device];
  const run = async (isStopped: () => boolean) => {
    const target = await openReencryption(device, payload, unlock);
    const state = await runReencryption(target, { zoneBytes: 256 * 1024, isStopped });
    for (const key of target.keys.values()) key.destroy();
    return state.doneBytes;
  };
  try {
    let zones = 0;
    t.equal(await run(() => ++zones > 1), 256 * 1024);
    t.equal(await run(() => false), plaintext.length);
    t.notOk(fs.readFileSync(paths.payload).includes('plain text'));
    await beginReencryption(device, payload, unlock, { pbkdf });
    await run(() => false);
    await beginDecryption(device, payload, unlock, { resilience: 'journal' });
    await run(() => false);
    t.ok(fs.readFileSync(paths.payload).equals(plaintext));
  } finally {
    device.close();
    payload.close();
  }
});
