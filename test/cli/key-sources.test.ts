/**
 * Every place a key can come from, with a key that is no text.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import t, { type Test } from 'tap';
import { cryptsetup } from '../kit/cryptsetup.js';
import { FAST_PBKDF2, type HeaderFiles, makeFiles } from '../kit/headers.js';
import { luksfuse, PROGRAM } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { type RunOptions, type RunResult, run } from '../kit/run.js';

/** NUL, no UTF-8, and a newline that is part of it. */
const KEY = Buffer.from([0x6b, 0, 0xff, 0xc3, 0x28, 0x0a, 0, 0x79, 0x0a]);

const skip = skipUnless({ tools: ['cryptsetup'] });

async function makeHeader(t: Test): Promise<HeaderFiles> {
  const files = makeFiles(t, KEY);
  const fileArgs = ['--header', files.header, files.payload, files.keyFile];
  await cryptsetup('luksFormat', '--type', 'luks2', ...FAST_PBKDF2, ...fileArgs);
  return files;
}

function testKey(files: HeaderFiles, args: readonly string[], options?: RunOptions): Promise<RunResult> {
  return luksfuse(['test-key', ...args, files.header], options);
}

/** Through a shell, which opens further descriptors. */
function testKeyInShell(files: HeaderFiles, args: string): Promise<RunResult> {
  return run('bash', ['-c', `exec ${PROGRAM} test-key ${args} ${files.header}`], { cwd: files.dir });
}

function opens(t: Test, { code, stdout, stderr }: RunResult, what: string): void {
  t.equal(code, 0, `${what}: ${stderr}`);
  t.equal(`${stdout}`, 'Keyslot 0 opens.\n', what);
}

function refuses(t: Test, { code, stderr }: RunResult, ...words: (string | RegExp)[]): void {
  t.equal(code, 1, stderr);
  for (const word of words) t.match(stderr, word);
}

t.test('descriptors', { skip }, async (t) => {
  const files = await makeHeader(t);
  opens(t, await testKeyInShell(files, '--passphrase-fd 3 3<key'), 'a file');
  opens(t, await testKeyInShell(files, '--passphrase-fd 11 11< <(cat key)'), 'a pipe');
  opens(t, await testKey(files, ['--passphrase-fd', '0'], { input: KEY }), 'standard input, a socket');
  opens(t, await testKeyInShell(files, '--key-file <(cat key)'), 'a pipe as key file');
  const padded = Buffer.concat([randomBytes(5), KEY, randomBytes(3)]);
  const range = ['--keyfile-offset', '5', '--keyfile-size', `${KEY.length}`];
  opens(t, await testKey(files, ['-d', '-', ...range], { input: padded }), 'a part of standard input');
  for (const fd of ['3', '7', '19', '99']) {
    refuses(t, await testKey(files, ['--passphrase-fd', fd]), `file descriptor ${fd} is not open`);
  }
});

t.test('commands', { skip }, async (t) => {
  const files = await makeHeader(t);
  const from = (command: string) => testKeyInShell(files, `--key-command '${command}'`);
  opens(t, await from('cat key; echo'), 'one trailing newline is dropped');
  t.equal((await from('cat key')).code, 2, 'a newline that belongs to the key is dropped too');
  opens(t, await from('cat key; echo; echo why >&2'), 'its standard error is not its output');
  t.match((await from('cat key; echo; echo why >&2')).stderr, /^why$/m);
  refuses(t, await from('cat key; echo; exit 3'), 'exit code 3');
  refuses(t, await from('kill -9 $$'), 'SIGKILL');
  refuses(t, await from('/no/such/program'), 'exit code 127');
  refuses(t, await from('head -c 8388609 /dev/zero'), /more than 8388608/);
  refuses(t, await from('cat /dev/zero'), /more than 8388608/);
  const stdin = await testKey(files, ['--key-command', 'cat; cat key'], { input: KEY, cwd: files.dir });
  t.equal(stdin.code, 2, 'the command gets an empty standard input');
});

t.test('a socket as key file, told which volume it is for', { skip }, async (t) => {
  const files = await makeHeader(t);
  const uuid = `${(await luksfuse(['uuid', files.header])).stdout}`.trim();
  const socket = path.join(files.dir, 'socket');
  let names = '';
  const server = net.createServer((connection) => {
    // node:net tells no abstract name of a peer; the kernel's list of sockets has it.
    names = fs.readFileSync('/proc/net/unix', 'utf8');
    connection.write(KEY.subarray(0, 3));
    setTimeout(() => connection.end(KEY.subarray(3)), 50);
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  t.teardown(() => server.close());
  opens(t, await testKey(files, ['--key-file', socket]), 'a socket');
  t.match(names, new RegExp(` @[0-9a-z]+/cryptsetup/luks-${uuid}$`, 'm'), 'named as systemd-cryptsetup does');
});

t.test('systemd credentials', { skip }, async (t) => {
  const files = await makeHeader(t);
  fs.copyFileSync(files.keyFile, path.join(files.dir, 'cryptsetup.passphrase'));
  const env = { CREDENTIALS_DIRECTORY: files.dir };
  opens(t, await testKey(files, ['--credential', 'key'], { env }), 'a named one');
  opens(t, await testKey(files, [], { env }), 'the one with the usual name, unasked');
  fs.writeFileSync(path.join(files.dir, 'cryptsetup.passphrase'), 'another');
  const ready = await testKey(files, [], { env, input: KEY });
  t.equal(ready.code, 2, 'a line of standard input ends at its newline');
  refuses(t, await testKey(files, ['--credential', 'key']), 'CREDENTIALS_DIRECTORY');
  refuses(t, await testKey(files, ['--credential', '../key'], { env }), /no name of a credential/);
  refuses(t, await testKey(files, ['--credential', 'none'], { env }), /ENOENT/);
});

t.test('what excludes each other is refused by both names', { skip }, async (t) => {
  const files = await makeHeader(t);
  const sources: [string, string][] = [
    ['--key-file', files.keyFile],
    ['--volume-key-file', files.keyFile],
    ['--passphrase-fd', '0'],
    ['--key-command', 'cat key'],
    ['--secret', `file=${files.keyFile}`],
    ['--token-id', '0'],
    ['--credential', 'key'],
  ];
  for (const [index, one] of sources.entries()) {
    const other = sources[(index + 1) % sources.length]!;
    refuses(t, await testKey(files, [...one, ...other]), one[0], other[0]);
  }
  const input = fs.readFileSync(files.header);
  for (const key of [
    ['-d', '-'],
    ['--passphrase-fd', '0'],
    ['--volume-key-file', '/dev/stdin'],
  ]) {
    refuses(t, await luksfuse(['test-key', ...key, '-'], { input }), '--header', /both read standard input/);
  }
  refuses(t, await testKey(files, ['--secret', 'data=visible']), /every user can see a command line/);
});
