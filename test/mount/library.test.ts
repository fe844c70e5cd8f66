import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { formatVolume, locateHeader, mountVolume, openVolume } from '../../lib/index.js';
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
