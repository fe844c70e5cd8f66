/**
 * The passphrase prompt on a real terminal.
 */
import fs from 'node:fs';
import t, { type Test } from 'tap';
import { cryptsetup } from '../kit/cryptsetup.js';
import { FAST_PBKDF2, formatHeader, type HeaderFiles, makeFiles } from '../kit/headers.js';
import { PROGRAM } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { TerminalSession } from '../kit/terminal-session.js';

const PASSPHRASE = 'Gr\u00fc\u00dfe \u20ac\u{1f511}';

async function makeHeader(t: Test): Promise<HeaderFiles> {
  const files = makeFiles(t, Buffer.from(PASSPHRASE));
  const fileArgs = ['--header', files.header, files.payload, files.keyFile];
  await cryptsetup('luksFormat', '--type', 'luks2', ...FAST_PBKDF2, ...fileArgs);
  return files;
}

/** The command, its exit code, and what stty(1) says before and after it. */
function betweenSettings(command: string): string {
  return `echo before $(stty -g); ${command}; echo "exit $?"; echo after $(stty -g)`;
}

function isRestored(session: TerminalSession): boolean {
  const [before, after] = ['before', 'after'].map(
    (when) => new RegExp(`${when} ([0-9a-f:]{20,})`).exec(session.shown)?.[1],
  );
  return before !== undefined && after === before;
}

const skip = skipUnless({ tools: ['script', 'stty', 'cryptsetup'] });

t.test('nothing typed is shown, and the terminal is given back as it was', { skip }, async (t) => {
  const { header } = await makeHeader(t);
  const session = new TerminalSession(betweenSettings(`${PROGRAM} test-key ${header}`));
  await session.expect('Enter passphrase for ');
  t.match(await session.settings(), / -echo /);
  session.type('wrong\x15');
  session.type(`${PASSPHRASE}x\x7f\r`);
  await session.expect('Keyslot 0 opens.');
  await session.expect('exit 0');
  t.equal(await session.end(), 0);
  t.notMatch(session.shown, 'wrong');
  t.notMatch(session.shown, 'Gr');
  t.ok(isRestored(session));
});

t.test('Ctrl-C at the prompt ends the program with 130 and restores the terminal', { skip }, async (t) => {
  const { header } = await makeHeader(t);
  const session = new TerminalSession(betweenSettings(`${PROGRAM} test-key ${header}`));
  await session.expect('Enter passphrase for ');
  session.type('half\x03');
  await session.expect('exit 130');
  await session.end();
  t.notMatch(session.shown, 'half');
  t.ok(isRestored(session));
});

t.test('SIGTERM at the prompt restores the terminal too', { skip }, async (t) => {
  const { header } = await makeHeader(t);
  const session = new TerminalSession(
    betweenSettings(`sh -c 'echo "pid $$."; exec ${PROGRAM} test-key ${header}'`),
  );
  await session.expect('Enter passphrase for ');
  const pid = Number(/pid (\d+)\./.exec(session.shown)?.[1]);
  process.kill(pid, 'SIGTERM');
  await session.expect('exit 143');
  await session.end();
  t.ok(isRestored(session));
});

t.test('a wrong passphrase is asked for again, --tries times', { skip }, async (t) => {
  const { header } = await makeHeader(t);
  const twice = new TerminalSession(`${PROGRAM} test-key --tries 2 ${header}`);
  for (let attempt = 0; attempt < 2; attempt++) {
    await twice.expect('Enter passphrase for ');
    twice.type('wrong\r');
  }
  t.equal(await twice.end(), 2);
  t.equal(twice.shown.split('Enter passphrase').length - 1, 2);

  const thrice = new TerminalSession(`${PROGRAM} test-key ${header}`);
  for (const typed of ['wrong', 'wrong', PASSPHRASE]) {
    await thrice.expect('Enter passphrase for ');
    thrice.type(`${typed}\r`);
  }
  t.equal(await thrice.end(), 0);
});

t.test('the passphrase is typed while the header comes through standard input', { skip }, async (t) => {
  const { header } = await makeHeader(t);
  const session = new TerminalSession(`cat ${header} | ${PROGRAM} test-key -`);
  await session.expect('Enter passphrase for volume ');
  session.type(`${PASSPHRASE}\r`);
  await session.expect('Keyslot 0 opens.');
  t.equal(await session.end(), 0);
});

t.test('what is typed need not be UTF-8', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks1');
  const passphrase = Buffer.from([0x66, 0xff, 0xc3, 0x28, 0x80]);
  const newKey = `${files.dir}/typed`;
  fs.writeFileSync(newKey, passphrase);
  await cryptsetup(
    'luksAddKey',
    '-d',
    files.keyFile,
    '--pbkdf-force-iterations',
    '1000',
    files.header,
    newKey,
  );
  const session = new TerminalSession(`${PROGRAM} test-key ${files.header}`);
  await session.expect('Enter passphrase for ');
  session.type(Buffer.concat([passphrase, Buffer.from('\r')]));
  await session.expect('Keyslot 1 opens.');
  t.equal(await session.end(), 0);
});
