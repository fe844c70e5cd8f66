/**
 * The same secret objects to QEMU and to luksfuse, over the same image: what opens it there opens it here.
 */
import { createCipheriv, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { luksfuse } from '../kit/luksfuse.js';
import { createImage } from '../kit/qemu.js';
import { skipUnless } from '../kit/requirements.js';
import { run } from '../kit/run.js';
import { makeTempDir } from '../kit/temp.js';

/** QEMU takes UTF-8 without NUL only. */
const PASSPHRASE = Buffer.from('Gr\u00fc\u00dfe,\n\u20ac');

const skip = skipUnless({ tools: ['qemu-img', 'qemu-io'] });

function encrypt(plain: Uint8Array, key: Uint8Array, iv: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  return Buffer.concat([cipher.update(plain), cipher.final()]);
}

const MASTER = randomBytes(32);
const IV = randomBytes(16);
const CIPHERTEXT = encrypt(PASSPHRASE, MASTER, IV);
const SECOND = randomBytes(32);

const FILES: Record<string, Buffer | string> = {
  raw: PASSPHRASE,
  base64: PASSPHRASE.toString('base64'),
  'wrapped-base64': `${PASSPHRASE.toString('base64').replace(/(.{8})/g, '$1\n')}\n`,
  'spaced-base64': ` ${PASSPHRASE.toString('base64')}`,
  'a,comma': PASSPHRASE,
  master: MASTER.toString('base64'),
  'master-raw': MASTER,
  'short-master': MASTER.subarray(1).toString('base64'),
  'other-master': randomBytes(32).toString('base64'),
  cipher: CIPHERTEXT,
  'cipher-base64': CIPHERTEXT.toString('base64'),
  'cut-cipher': CIPHERTEXT.subarray(0, -1),
  'second-encrypted': encrypt(SECOND, MASTER, IV).toString('base64'),
  'cipher-of-second': encrypt(PASSPHRASE, SECOND, IV),
  wrong: 'wrong',
};

const iv = IV.toString('base64');
const master = 'id=master,file=master,format=base64';

interface Case {
  name: string;
  /** In QEMU's syntax, the one with the passphrase last and with the id "key". */
  secrets: string[];
  opens: boolean;
}

const CASES: Case[] = [
  { name: 'raw', secrets: ['id=key,file=raw'], opens: true },
  { name: 'a wrong one', secrets: ['id=key,file=wrong'], opens: false },
  { name: 'base64', secrets: ['id=key,file=base64,format=base64'], opens: true },
  { name: 'base64 in lines', secrets: ['id=key,file=wrapped-base64,format=base64'], opens: true },
  { name: 'base64 with a space', secrets: ['id=key,file=spaced-base64,format=base64'], opens: false },
  { name: 'base64 taken for raw', secrets: ['id=key,file=base64'], opens: false },
  { name: 'a doubled comma', secrets: ['id=key,file=a,,comma'], opens: true },
  { name: 'encrypted', secrets: [master, `id=key,file=cipher,keyid=master,iv=${iv}`], opens: true },
  {
    name: 'encrypted, in base64',
    secrets: [master, `id=key,file=cipher-base64,format=base64,keyid=master,iv=${iv}`],
    opens: true,
  },
  {
    name: 'encrypted, on the command line',
    secrets: [master, `id=key,data=${CIPHERTEXT.toString('base64')},format=base64,keyid=master,iv=${iv}`],
    opens: true,
  },
  {
    name: 'a chain of two keys',
    secrets: [
      master,
      `id=second,file=second-encrypted,format=base64,keyid=master,iv=${iv}`,
      `id=key,file=cipher-of-second,keyid=second,iv=${iv}`,
    ],
    opens: true,
  },
  {
    name: 'the wrong master key',
    secrets: ['id=master,file=other-master,format=base64', `id=key,file=cipher,keyid=master,iv=${iv}`],
    opens: false,
  },
  {
    name: 'a master key of 31 bytes',
    secrets: ['id=master,file=short-master,format=base64', `id=key,file=cipher,keyid=master,iv=${iv}`],
    opens: false,
  },
  {
    name: 'a cut ciphertext',
    secrets: [master, `id=key,file=cut-cipher,keyid=master,iv=${iv}`],
    opens: false,
  },
  {
    name: 'a short iv',
    secrets: [master, `id=key,file=cipher,keyid=master,iv=${IV.subarray(1).toString('base64')}`],
    opens: false,
  },
  { name: 'no iv', secrets: [master, 'id=key,file=cipher,keyid=master'], opens: false },
  { name: 'no such master key', secrets: [`id=key,file=cipher,keyid=master,iv=${iv}`], opens: false },
  { name: 'its own key', secrets: [`id=key,file=cipher,keyid=key,iv=${iv}`], opens: false },
  { name: 'no such file', secrets: ['id=key,file=none'], opens: false },
  { name: 'an unknown property', secrets: ['id=key,file=raw,colour=red'], opens: false },
];

t.test('secret objects mean the same as in QEMU', { skip }, async (t) => {
  const dir = makeTempDir(t);
  for (const [name, bytes] of Object.entries(FILES)) fs.writeFileSync(path.join(dir, name), bytes);
  const image = path.join(dir, 'image');
  // The key file of this kit goes onto QEMU's command line, where commas are doubled.
  await createImage(image, path.join(dir, 'raw'), { sizeBytes: 1024 * 1024 });
  const imageOpts = `driver=luks,key-secret=key,file.driver=file,file.filename=${image}`;
  for (const { name, secrets, opens } of CASES) {
    const objects = secrets.flatMap((secret) => ['--object', `secret,${secret}`]);
    const theirs = await run('qemu-io', [...objects, '--image-opts', imageOpts, '-c', 'read 0 512'], {
      cwd: dir,
    });
    t.equal(theirs.code === 0, opens, `QEMU: ${name}: ${theirs.stderr}`);
    const options = secrets.flatMap((secret) => ['--secret', secret]);
    const ours = await luksfuse(['test-key', ...options, image], { cwd: dir });
    t.equal(ours.code === 0, opens, `luksfuse: ${name}: ${ours.stderr}`);
    if (!opens) t.match(`${ours.code}`, /^[12]$/);
  }
});

t.test('what QEMU cannot take: binary, and a master key in raw', { skip }, async (t) => {
  const dir = makeTempDir(t);
  const key = Buffer.from([1, 0, 0xff, 0x0a]);
  const image = path.join(dir, 'image');
  fs.writeFileSync(path.join(dir, 'raw'), PASSPHRASE);
  await createImage(image, path.join(dir, 'raw'), { sizeBytes: 1024 * 1024 });
  fs.writeFileSync(path.join(dir, 'binary'), key);
  await run('cryptsetup', [
    ...['luksAddKey', '-q', '--pbkdf-force-iterations', '1000', '-d', path.join(dir, 'raw')],
    ...[image, path.join(dir, 'binary')],
  ]);
  fs.writeFileSync(path.join(dir, 'cipher'), encrypt(key, MASTER, IV));
  fs.writeFileSync(path.join(dir, 'master'), MASTER);
  const args = ['--secret', 'id=m,file=master', '--secret', `file=cipher,keyid=m,iv=${iv}`];
  const { stdout } = await luksfuse(['test-key', ...args, image], { cwd: dir });
  t.equal(`${stdout}`, 'Keyslot 1 opens.\n');
  const two = await luksfuse(['test-key', '--secret', 'file=raw', '--secret', 'file=binary', image], {
    cwd: dir,
  });
  t.equal(two.code, 1);
  t.match(two.stderr, /more than one secret is the passphrase/);
});
