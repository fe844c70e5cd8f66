/**
 * A header that is not a file: it comes through a pipe or from a command, and stays in memory.
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { cryptsetup, makePair } from '../kit/cryptsetup.js';
import { formatHeader } from '../kit/headers.js';
import { luksfuse, mustLuksfuse, PROGRAM } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun, run } from '../kit/run.js';

const skip = skipUnless({ tools: ['cryptsetup', 'bash', 'mkfifo'] });

for (const type of ['luks1', 'luks2'] as const) {
  t.test(`every command that only reads a ${type} header takes it from anywhere`, { skip }, async (t) => {
    const { header, keyFile, dir } = await formatHeader(t, type);
    const input = fs.readFileSync(header);
    const uuid = (await cryptsetup('luksUUID', header)).stdout.toString();

    t.equal(`${(await mustLuksfuse(['uuid', '-'], { input })).stdout}`, uuid);
    t.equal(`${(await mustLuksfuse(['uuid', '--header', '-'], { input })).stdout}`, uuid);
    t.equal(`${(await mustLuksfuse(['uuid', '--header-command', `cat ${header}`])).stdout}`, uuid);
    t.equal((await luksfuse(['is-luks', '-'], { input })).code, 0);
    t.equal((await luksfuse(['is-luks', '-'], { input: Buffer.alloc(8192) })).code, 4);
    const dumped = await mustLuksfuse(['dump', '--json', header]);
    t.same((await mustLuksfuse(['dump', '--json', '-'], { input })).stdout, dumped.stdout);
    const tested = await mustLuksfuse(['test-key', '-d', keyFile, '-'], { input });
    t.equal(`${tested.stdout}`, 'Keyslot 0 opens.\n');

    const inShell = (args: string) => mustRun('bash', ['-c', `exec ${PROGRAM} ${args}`]);
    t.equal(`${(await inShell(`uuid <(cat ${header})`)).stdout}`, uuid);
    t.equal(`${(await inShell(`uuid /dev/fd/5 5<${header}`)).stdout}`, uuid);
    const fifo = path.join(dir, 'fifo');
    await mustRun('mkfifo', [fifo]);
    const write = run('bash', ['-c', `cat ${header} > ${fifo}`]);
    t.equal(`${(await inShell(`test-key -d ${keyFile} ${fifo}`)).stdout}`, 'Keyslot 0 opens.\n');
    await write;
  });
}

t.test('what cannot be a header is refused', { skip }, async (t) => {
  const { header, keyFile } = await formatHeader(t, 'luks2');
  const failing = await luksfuse(['uuid', '--header-command', `cat ${header}; exit 5`]);
  t.equal(failing.code, 1);
  t.match(failing.stderr, /the header command failed with exit code 5/);
  const both = await luksfuse(['uuid', '--header-command', `cat ${header}`, header]);
  t.equal(both.code, 1);
  t.match(both.stderr, /--header and --header-command exclude each other/);
  const cut = await luksfuse(['test-key', '-d', keyFile, '-'], {
    input: fs.readFileSync(header).subarray(0, 65536),
  });
  t.equal(cut.code, 4);
  t.match(cut.stderr, /standard input/);
  const endless = await luksfuse(['uuid', '--header-command', 'cat /dev/zero']);
  t.equal(endless.code, 1);
  t.match(endless.stderr, /more than 142606336 bytes/);
  const long = await run('bash', ['-c', `head -c 200M /dev/zero | ${PROGRAM} uuid -`]);
  t.equal(long.code, 1);
  t.match(long.stderr, /more than 136 MiB/);
  t.match((await luksfuse(['uuid'])).stderr, /no header is given/);
});

t.test('what would change a header refuses one that is in memory only', { skip }, async (t) => {
  const { header, keyFile, payload } = await formatHeader(t, 'luks2');
  const input = fs.readFileSync(header);
  const commands = [
    ['add-key', '-d', keyFile, '-', keyFile],
    ['config', '--label', 'new', '/dev/stdin'],
    ['kill-slot', '-q', '--force', '-', '0'],
    ['mount', '--pair', '--header', '-', '-d', keyFile, payload, path.dirname(payload)],
  ];
  for (const command of commands) {
    const { code, stderr } = await luksfuse(command, { input });
    t.equal(code, 1, `${command[0]}: ${stderr}`);
    t.match(stderr, /in memory only and cannot be changed|--pair writes to the header/);
  }
});

t.test('the plaintext to be written is not the header, nor the key', { skip }, async (t) => {
  const { header, keyFile, payload } = await formatHeader(t, 'luks2');
  for (const options of [
    ['--header', '-', '-d', keyFile],
    ['--header', header, '-d', '-'],
    ['--header', header, '--passphrase-fd', '0'],
  ]) {
    const { code, stderr } = await luksfuse(['write', ...options, payload], { input: Buffer.alloc(512) });
    t.equal(code, 1);
    t.match(stderr, /reads standard input, which is the plaintext/);
  }
});

t.test('a volume is opened without its header on any disk', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: 1024 * 1024 });
  const args = ['--header', '-', '-d', pair.keyFile, pair.payload];
  const { stdout } = await mustLuksfuse(['cat', ...args], { input: fs.readFileSync(pair.headerFile) });
  t.ok(stdout.equals(pair.plaintext));
});

const skipMount = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });

t.test('a mount needs its header for the moment of unlocking only', { skip: skipMount }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: 1024 * 1024 });
  const mountpoint = fs.mkdtempSync(path.join(pair.dir, 'mountpoint-'));
  const command = `cat ${pair.headerFile} && rm ${pair.headerFile}`;
  const args = ['--header-command', command, '-d', pair.keyFile, pair.payload, mountpoint];
  await mustLuksfuse(['mount', ...args]);
  t.teardown(() => luksfuse(['umount', mountpoint]));
  t.notOk(fs.existsSync(pair.headerFile));
  t.ok(fs.readFileSync(path.join(mountpoint, 'payload')).equals(pair.plaintext));
  await mustLuksfuse(['umount', mountpoint]);
});
