/**
 * What is refused whatever is said with it: what would destroy the data of somebody else, or one's own.
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { FAST_PBKDF2, formatHeader, makeFiles } from '../kit/headers.js';
import { luksfuse, mustLuksfuse, unlockArgs } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';

t.test(
  'a device that something else has by now',
  { skip: skipUnless({ tools: ['cryptsetup'] }) },
  async (t) => {
    const overwrite = (file: string, magic: string, offset: number) => {
      const fd = fs.openSync(file, 'r+');
      fs.writeSync(fd, Buffer.alloc(4096), 0, 4096, 0);
      fs.writeSync(fd, magic, offset);
      fs.closeSync(fd);
    };
    for (const [name, magic, offset] of [
      ['an LVM physical volume', 'LABELONE', 512],
      ['a swap area', 'SWAPSPACE2', 4086],
      ['an XFS file system', 'XFSB', 0],
    ] as const) {
      const { header, payload, keyFile } = await formatHeader(t, 'luks2');
      overwrite(header, magic, offset);
      const before = [header, payload].map((file) => fs.readFileSync(file));
      const unlock = ['--header', header, '--key-file', keyFile];
      const mountpoint = path.join(path.dirname(header), 'mountpoint');
      fs.mkdirSync(mountpoint);
      for (const words of [
        ['test-key', '--key-file', keyFile, header],
        ['cat', ...unlock, payload],
        ['write', ...unlock, payload],
        ['mount', ...unlock, payload, mountpoint],
      ]) {
        const { code, stderr } = await luksfuse(words, { input: Buffer.alloc(512) });
        t.equal(code, 1, `${name}: ${words[0]}`);
        t.match(stderr, `is ${name} now, and only a second copy`);
      }
      t.ok(
        [header, payload].every((file, index) => fs.readFileSync(file).equals(before[index]!)),
        'nothing is written',
      );
    }
  },
);

t.test('encrypt of what is LUKS', async (t) => {
  const { dir, header, payload, keyFile } = makeFiles(t);
  await mustLuksfuse(['format', '-q', ...FAST_PBKDF2, '--key-file', keyFile, '--header', header, payload]);
  const before = fs.readFileSync(header);
  const made = path.join(dir, 'new-header');
  for (const initOnly of [[], ['--init-only']]) {
    const unlock = [...FAST_PBKDF2, '--header', made, '--key-file', keyFile];
    const { code, stderr } = await luksfuse(['encrypt', '-q', ...initOnly, ...unlock, header]);
    t.equal(code, 1);
    t.match(stderr, /holds a LUKS header: it is encrypted already/);
    t.ok(fs.readFileSync(header).equals(before));
    t.notOk(fs.existsSync(made));
  }
});

t.test(
  'workers that cannot be',
  { skip: skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] }) },
  async (t) => {
    const pair = await makePair(t, { type: 'luks2' });
    const mountpoint = fs.mkdtempSync(path.join(pair.dir, 'mountpoint-'));
    for (const workers of ['0', '121', '1000000', '1.5', '-1']) {
      for (const more of [[], ['--foreground'], ['--no-supervise']]) {
        const words = ['mount', '--workers', workers, ...more, ...unlockArgs(pair), pair.payload, mountpoint];
        t.match(await luksfuse(words), { code: 1, stderr: /workers|whole number/ });
      }
    }
    await mustLuksfuse(['mount', '--workers', '120', ...unlockArgs(pair), pair.payload, mountpoint]);
    await mustLuksfuse(['umount', mountpoint]);
  },
);
