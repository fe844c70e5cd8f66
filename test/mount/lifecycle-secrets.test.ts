/**
 * What the daemon shows of its keys to the rest of the machine: nothing.
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { clearMount, mustLuksfuse } from '../kit/luksfuse.js';
import { readProcFile, requireHolder, statusKiB } from '../kit/processes.js';
import { skipUnless } from '../kit/requirements.js';

const MiB = 1024 * 1024;
const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });

/** Every way a key is likely to be spelled. */
function spellings(secret: Buffer): Buffer[] {
  const texts = (['hex', 'base64', 'base64url'] as const).map((form) => Buffer.from(secret.toString(form)));
  return [secret, ...texts];
}

t.test('keys do not show', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: MiB });
  const volumeKey = fs.readFileSync(pair.volumeKeyFile);
  const ways = [
    { title: 'key file', args: ['--key-file', pair.keyFile] },
    { title: 'stdin', args: ['--key-file', '-'], input: pair.passphrase },
    { title: 'volume key', args: ['--volume-key-file', pair.volumeKeyFile] },
  ];
  for (const { title, args, input } of ways) {
    const mountpoint = path.join(pair.dir, `mounted by ${title}`);
    fs.mkdirSync(mountpoint);
    t.teardown(() => clearMount(mountpoint));
    const options = { env: { DEBUG: '' }, ...(input && { input }) };
    const header = ['--header', pair.headerFile];
    const result = await mustLuksfuse(['mount', ...header, ...args, pair.payload, mountpoint], options);
    const daemon = requireHolder(pair.payload);
    const places = {
      argv: readProcFile(daemon, 'cmdline'),
      environment: readProcFile(daemon, 'environ'),
      output: Buffer.concat([result.stdout, Buffer.from(result.stderr)]),
    };
    for (const [place, bytes] of Object.entries(places)) {
      const isSeen = [pair.passphrase, volumeKey].flatMap(spellings).some((secret) => bytes.includes(secret));
      t.notOk(isSeen, `${title}: no key in ${place}`);
    }
    await mustLuksfuse(['umount', mountpoint]);
  }
});

t.test('traces carry no key', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: MiB });
  const args = [
    'cat',
    '--header',
    pair.headerFile,
    '--key-file',
    pair.keyFile,
    '--length',
    '512',
    pair.payload,
  ];
  const { stderr } = await mustLuksfuse(args, { env: { DEBUG: 'luksfuse:*' } });
  t.match(stderr, /luksfuse:/, 'there are traces');
  for (const secret of [pair.passphrase, fs.readFileSync(pair.volumeKeyFile)].flatMap(spellings)) {
    t.notOk(Buffer.from(stderr, 'utf8').includes(secret));
  }
});

t.test('the key lies in memory that is neither swapped nor dumped', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: MiB });
  const mountpoint = path.join(pair.dir, 'mountpoint');
  fs.mkdirSync(mountpoint);
  t.teardown(() => clearMount(mountpoint));
  await mustLuksfuse([
    'mount',
    '--header',
    pair.headerFile,
    '--key-file',
    pair.keyFile,
    pair.payload,
    mountpoint,
  ]);
  const daemon = requireHolder(pair.payload);
  t.ok(statusKiB(daemon, 'VmLck') > 0, 'some memory is locked');
  // proc(5), VmFlags: lo locked, dd not in a core dump, wf wiped on fork.
  const flags = readProcFile(daemon, 'smaps')
    .toString()
    .split('\n')
    .filter((line) => line.startsWith('VmFlags:'));
  t.ok(
    flags.some((line) => ['lo', 'dd', 'wf'].every((flag) => line.split(' ').includes(flag))),
    'and kept out of core dumps and children',
  );
  t.match(readProcFile(daemon, 'limits').toString(), /Max core file size\s+0\s+0/);
});
