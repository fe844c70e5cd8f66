/**
 * What header commands ask before they destroy, and where new passphrases come from: a person at a terminal, or a
 * standard input that is none.
 */
import fs from 'node:fs';
import t from 'tap';
import { bothOpen, hashOf, refuses, says } from '../kit/header-commands.js';
import { cryptsetupOpens, FAST_PBKDF2, formatHeader, makeFiles } from '../kit/headers.js';
import { luksfuse, PROGRAM } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun } from '../kit/run.js';
import { TerminalSession } from '../kit/terminal-session.js';

const skip = skipUnless({ tools: ['cryptsetup', 'script'] });
const CHEAP = FAST_PBKDF2.join(' ');

/** Runs the command at a terminal and answers each prompt; resolves to its exit code and what was shown. */
async function atTerminal(args: string, dialogue: readonly [prompt: string, answer: string][]) {
  const session = new TerminalSession(`${PROGRAM} ${args}`);
  for (const [prompt, answer] of dialogue) {
    await session.expect(prompt);
    session.type(`${answer}\r`);
  }
  return { code: await session.end(), shown: session.shown };
}

t.test('commands that destroy ask a person first, and only YES is a yes', { skip }, async (t) => {
  const { header, payload, keyFile, dir } = await formatHeader(t, 'luks2', '--sector-size', '512');
  const backup = `${dir}/backup`;
  await says(t, ['header-backup', header, backup], '');
  const before = hashOf(header);
  const questions: [string, string][] = [
    [`format ${CHEAP} -d ${keyFile} --header ${header} ${payload}`, 'holds a LUKS header'],
    [`format --wipe ${CHEAP} -d ${keyFile} --header ${dir}/new ${payload}`, 'filled with noise'],
    [`kill-slot ${header} 0`, 'Keyslot 0'],
    [`erase ${header}`, 'All keyslots'],
    [`convert ${header} --type luks1`, 'back it up first'],
    [`header-restore ${header} ${backup}`, 'will be replaced'],
    [`repair ${header}`, 'will be repaired'],
  ];
  const payloadBefore = hashOf(payload);
  for (const [index, [args, question]] of questions.entries()) {
    const answer = ['no', 'yes', '', 'y', 'YES!', 'Y', 'NO'][index]!;
    const { code, shown } = await atTerminal(args, [['Type YES: ', answer]]);
    t.equal(code, 1, `${args} answered with "${answer}"`);
    t.match(shown, question);
    t.match(shown, 'not confirmed; nothing was changed');
  }
  t.equal(hashOf(header), before);
  t.equal(hashOf(payload), payloadBefore);
  t.notOk(fs.existsSync(`${dir}/new`));
  const said = await atTerminal(`erase ${header}`, [['Type YES: ', 'YES']]);
  t.equal(said.code, 0);
  t.match(said.shown, `All keyslots of ${header} destroyed.`);
  t.equal(await cryptsetupOpens(header, fs.readFileSync(keyFile)), null);
});

t.test('a new passphrase is typed twice, without echo', { skip }, async (t) => {
  const { header, payload, keyFile } = makeFiles(t);
  const format = `format ${CHEAP} --header ${header} ${payload}`;
  const differ = await atTerminal(format, [
    ['Enter new passphrase for ', 'first'],
    ['again: ', 'second'],
  ]);
  t.equal(differ.code, 1);
  t.match(differ.shown, 'the two passphrases differ; nothing was changed');
  t.notOk(fs.existsSync(header));
  const made = await atTerminal(format, [
    ['Enter new passphrase for ', 'größe'],
    ['again: ', 'größe'],
  ]);
  t.equal(made.code, 0);
  t.notMatch(made.shown, 'gr');
  await bothOpen(t, header, 'größe', 0, 'typed');
  const added = await atTerminal(`add-key ${CHEAP} ${header}`, [
    ['Enter passphrase for ', 'wrong'],
    ['No keyslot opens with this passphrase.\r\nEnter passphrase for ', 'größe'],
    ['Enter new passphrase for ', 'added'],
    ['again: ', 'added'],
  ]);
  t.equal(added.code, 0);
  t.match(added.shown, 'Keyslot 1 added.');
  await bothOpen(t, header, 'added', 1, 'typed');
  const changed = await atTerminal(`change-key ${CHEAP} ${header}`, [
    ['Enter passphrase for ', 'added'],
    ['Enter new passphrase for ', 'x'],
    ['again: ', 'y'],
  ]);
  t.equal(changed.code, 1);
  await bothOpen(t, header, 'added', 1, 'unchanged');
  for (const command of ['add-key', 'change-key']) {
    const wrong = await atTerminal(`${command} --tries 1 ${header}`, [['Enter passphrase for ', 'wrong']]);
    t.equal(wrong.code, 2, `${command}: a wrong passphrase is the end`);
    t.notMatch(wrong.shown, 'new passphrase', 'before a new one is asked for');
  }
  fs.writeFileSync(keyFile, 'added');
  await says(t, ['remove-key', header, '-d', keyFile], 'Keyslot 1 removed.');
});

t.test('standard input that is no terminal: a line each, as cryptsetup reads it', { skip }, async (t) => {
  const { header, payload } = makeFiles(t);
  const lines = (...text: string[]) => ({ input: Buffer.from(text.map((line) => `${line}\n`).join('')) });
  await says(t, ['format', ...FAST_PBKDF2, '--header', header, payload], '', lines('one'));
  const add = ['add-key', header, ...FAST_PBKDF2];
  await says(t, add, 'Keyslot 1 added.', lines('one', 'two'));
  await says(t, ['change-key', header, ...FAST_PBKDF2], 'Keyslot 1 has the new key.', lines('two', 'three'));
  await bothOpen(t, header, 'three', 1, 'ours');
  const args = ['--batch-mode', 'luksAddKey', ...FAST_PBKDF2, header];
  await mustRun('cryptsetup', args, lines('three', 'four'));
  await bothOpen(t, header, 'four', 2, 'theirs');
  await says(t, ['remove-key', header], 'Keyslot 2 removed.', { input: Buffer.from('four') });

  const ended = {
    exit: 1,
    code: 'BAD_ARGUMENT',
    message: /standard input ended where a passphrase was expected/,
  };
  await refuses(t, add, ended, [header], lines('one'));
  await refuses(t, add, ended, [header]);
  await refuses(t, ['remove-key', header], ended, [header]);
  await refuses(t, ['format', '-q', ...FAST_PBKDF2, '--header', header, payload], ended, [header, payload]);
  const twice = { exit: 1, code: 'BAD_ARGUMENT', message: /reads standard input, which is the new key file/ };
  await refuses(t, [...add, '-d', '-', '--new-key-file', '-'], twice, [header], lines('one'));
  await says(t, [...add, '-d', '-', payload], 'Keyslot 2 added.', { input: Buffer.from('one') });
  await says(t, [...add, '--new-key-file', '-'], 'Keyslot 3 added.', lines('one', 'all of', 'the rest'));
  await bothOpen(t, header, 'all of\nthe rest\n', 3, 'a key file takes all bytes');
  t.equal(
    (await luksfuse([...add, '-d', payload], lines(''))).code,
    0,
    'an empty line is an empty passphrase',
  );
});
