import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import {
  backupHeader,
  beginDecryption,
  beginEncryption,
  beginReencryption,
  convertHeader,
  Device,
  erase,
  formatVolume,
  locateHeader,
  mountVolume,
  openReencryption,
  openVolume,
  restoreHeader,
  runReencryption,
  wipePayload,
} from '../../lib/index.js';
import { luksfuse, mountVolume as mountByCommand, unlockArgs } from '../kit/luksfuse.js';
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

t.test('a window or a wipe begins at no place before the data', async (t) => {
  const { header, payload } = await newVolume(makeTempDir(t));
  const before = fs.readFileSync(payload);
  const device = Device.open(payload, { isReadOnly: false });
  for (const offsetBytes of [-4096, 0.5, Number.NaN]) {
    const options = { headerPath: header, window: { offsetBytes } };
    await t.rejects(openVolume(payload, { passphrase: PASSPHRASE }, options), { code: 'BAD_ARGUMENT' });
    await t.rejects(wipePayload(device, offsetBytes), { code: 'BAD_ARGUMENT' });
  }
  device.close();
  t.ok(fs.readFileSync(payload).equals(before));
});

t.test('openVolume claims payload and header until the volume is closed', async (t) => {
  const { header, payload } = await newVolume(makeTempDir(t));
  const open = (isReadOnly: boolean) =>
    openVolume(payload, { passphrase: PASSPHRASE }, { headerPath: header, isReadOnly });
  const headerDevice = Device.open(header, { isReadOnly: false });
  const backupFile = `${header}.backup`;
  await backupHeader(headerDevice, backupFile);
  const backup = Device.open(backupFile, { isReadOnly: true });
  t.teardown(() => {
    headerDevice.close();
    backup.close();
  });

  const writer = await open(false);
  await t.rejects(open(false), { code: 'BUSY' });
  await t.rejects(open(true), { code: 'BUSY' });
  writer.close();
  const readers = [await open(true), await open(true)];
  await t.rejects(open(false), { code: 'BUSY' });
  await t.rejects(erase(headerDevice), { code: 'BUSY' });
  await t.rejects(convertHeader(headerDevice, 1), { code: 'BUSY' });
  await t.rejects(restoreHeader(headerDevice, backup, { force: true }), { code: 'BUSY' });
  const raw = Device.open(payload, { isReadOnly: false });
  await t.rejects(wipePayload(raw, 0), { code: 'BUSY' });
  raw.close();
  for (const reader of readers) reader.close();
  await erase(headerDevice);
});

t.test(
  'a mount and a reencryption by the library keep each other away',
  { skip: skipUnless({ root: true, fuse: true }) },
  async (t) => {
    const dir = makeTempDir(t);
    const { header, payload: payloadFile } = await newVolume(dir);
    const keyFile = path.join(dir, 'key');
    fs.writeFileSync(keyFile, PASSPHRASE);
    const pair = { header, payload: payloadFile, keyFile };
    const unlock = { passphrase: PASSPHRASE };
    const pbkdf = { type: 'pbkdf2', forceIterations: 1000 } as const;
    const openDevices = () =>
      [header, payloadFile].map((file) => Device.open(file, { isReadOnly: false })) as [Device, Device];

    const [device, payload] = openDevices();
    await beginReencryption(device, payload, unlock, { pbkdf });
    const mountpoint = path.join(dir, 'mnt');
    fs.mkdirSync(mountpoint);
    const mountArgs = ['mount', ...unlockArgs(pair), payloadFile, mountpoint];
    t.equal((await luksfuse(mountArgs)).code, 5, 'begun');
    device.close();
    payload.close();

    const mounted = await mountByCommand(t, pair, { mountpoint });
    const [besideHeader, beside] = openDevices();
    await t.rejects(openReencryption(besideHeader, beside, unlock), { code: 'BUSY' });
    await t.rejects(beginDecryption(besideHeader, beside, unlock, {}), { code: 'BUSY' });
    await mounted.umount();

    const target = await openReencryption(besideHeader, beside, unlock);
    const codes: (number | null)[] = [];
    const pace = async () => {
      if (codes.length === 0) codes.push((await luksfuse(mountArgs)).code);
    };
    await runReencryption(target, { zoneBytes: 256 * 1024, pace });
    t.same(codes, [5], 'under way');
    for (const key of target.keys.values()) key.destroy();
    besideHeader.close();
    beside.close();
    await (await mountByCommand(t, pair, { mountpoint })).umount();
  },
);
