/**
 * The manual pages and the program say the same: every command and option is in the page that it belongs to, and the
 * pages name none that does not exist. So do the messages of the program.
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { luksfuse, mustLuksfuse, PROJECT_DIR } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { run } from '../kit/run.js';

const PAGES = JSON.parse(fs.readFileSync(path.join(PROJECT_DIR, 'package.json'), 'utf8')).man as string[];

function pageText(name: string): string {
  return fs.readFileSync(path.join(PROJECT_DIR, 'man', name), 'utf8');
}

/** Text from a section's or subsection's title to the next title. */
function section(page: string, title: string): string {
  const [, text] = new RegExp(`^\\.S[hs] ${title}\\n([^]*?)(?=^\\.S[hs] |$(?![^]))`, 'm').exec(page) ?? [];
  if (text === undefined) throw new Error(`there is no section "${title}"`);
  return text;
}

/** `-q` and `--json`, as `.Fl q` and `.Fl -json` name them, also several in one line. */
function optionsIn(text: string): Set<string> {
  const lines = text.split('\n').filter((line) => line.startsWith('.'));
  const names = lines.flatMap((line) => [...line.matchAll(/\bFl (-?[\w-]+)/g)].map((match) => match[1]!));
  // `.Op Fl fr` are two short ones.
  return new Set(
    names.flatMap((name) => (name.startsWith('-') ? [`-${name}`] : [...name].map((c) => `-${c}`))),
  );
}

/** Words that are set as commands. */
function commandsIn(text: string): Set<string> {
  const lines = text.split('\n').filter((line) => /^\.(It )?(Cm|Pq)\b/.test(line));
  return new Set(lines.flatMap((line) => line.split(/[\s|,.]+/)));
}

/** What can be typed, from the completion script, which is made from the commands themselves. */
async function listCommands(): Promise<Map<string, string[]>> {
  const script = (await mustLuksfuse(['completion', 'bash'])).stdout.toString();
  const cases = [...script.matchAll(/^ {4}'([^']+)'\) words='([^']*)'/gm)];
  const options = (words: string) => words.split(' ').filter((word) => word.startsWith('-'));
  return new Map(cases.map(([, command, words]) => [command!, options(words!)]));
}

t.test('every command and every option has its place in the pages, and no other', async (t) => {
  const [main, header] = [pageText('luksfuse.1'), pageText('luksfuse-header.1')];
  const ofHeaders = commandsIn(section(header, 'SYNOPSIS'));
  const described = new Set([...commandsIn(header), ...commandsIn(main)]);
  const keyOptions = optionsIn(section(main, 'Key options'));
  const documented = { main: optionsIn(main), header: optionsIn(header) };
  const existing = { main: new Set(['-h', '--help', '-V', '--version']), header: new Set<string>() };
  const commands = await listCommands();
  t.ok(commands.size > 30);
  for (const [command, options] of commands) {
    const words = command.split(' ');
    for (const word of words) t.ok(described.has(word), `${command}: the command is described`);
    const isAlias = /^luks(Format|(Add|Change|Remove)Key|KillSlot|Erase|Header)/.test(command);
    const page = isAlias || ofHeaders.has(words[0]!) ? 'header' : 'main';
    for (const option of options) {
      existing[page].add(option);
      const isThere = documented[page].has(option) || (page === 'header' && keyOptions.has(option));
      t.ok(isThere, `${command} ${option} is in the page`);
    }
  }
  for (const page of ['main', 'header'] as const) {
    for (const option of documented[page]) t.ok(existing[page].has(option), `${page}: ${option} exists`);
  }
});

t.test('the pages are clean', { skip: skipUnless({ tools: ['mandoc'] }) }, async (t) => {
  for (const page of PAGES) {
    const { code, stdout, stderr } = await run('mandoc', [
      '-Tlint',
      '-Wwarning',
      path.join(PROJECT_DIR, page),
    ]);
    t.equal(code, 0, `${page}: ${stdout}${stderr}`);
    const long = fs.readFileSync(path.join(PROJECT_DIR, page), 'utf8').split('\n');
    t.strictSame(
      long.filter((line) => line.length > 80),
      [],
      `${page}: lines of 80 characters`,
    );
  }
  t.same(
    PAGES,
    fs
      .readdirSync(path.join(PROJECT_DIR, 'man'))
      .map((name) => `man/${name}`)
      .sort()
      .reverse(),
  );
});

/** The lines of a page that are to be shown as they are: what can be typed, above all. */
function literalLines(page: string): string[] {
  const blocks = [...page.matchAll(/^\.Bd -literal.*\n([\s\S]*?)^\.Ed$/gm)].flatMap(([, text]) =>
    text!.split('\n'),
  );
  const lines = [...page.matchAll(/^\.Dl (.*)$/gm)].map(([, text]) => text!);
  return [...blocks, ...lines].map((line) => line.replaceAll('\\e', '\\').trim()).filter(Boolean);
}

t.test('examples are shown line by line', { skip: skipUnless({ tools: ['mandoc'] }) }, async (t) => {
  let count = 0;
  for (const page of PAGES) {
    const { stdout } = await run('mandoc', ['-Tascii', path.join(PROJECT_DIR, page)]);
    // Bold and underlined is what is struck twice.
    const shown = stdout
      .toString()
      .replace(/.[\b]/g, '')
      .split('\n')
      .map((line) => line.trim());
    for (const line of literalLines(fs.readFileSync(path.join(PROJECT_DIR, page), 'utf8'))) {
      count += 1;
      t.ok(shown.includes(line), `${page}: ${line}`);
    }
  }
  t.ok(count > 10);
});

t.test('options that messages name exist', async (t) => {
  const existing = new Set([...(await listCommands()).values()].flat());
  const lib = path.join(PROJECT_DIR, 'lib');
  const names = fs
    .readdirSync(lib, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.ts$/.test(name));
  let count = 0;
  for (const name of names) {
    for (const line of fs.readFileSync(path.join(lib, name), 'utf8').split('\n')) {
      // Lines of code that run or recommend another program name its options.
      if (/cryptsetup |systemd|docker run |npm |NODE_OPTIONS|^\s*(\*|\/\/)/.test(line)) continue;
      for (const [, option] of line.matchAll(/[^\w-](--[a-z][a-z0-9-]+)/g)) {
        count += 1;
        t.ok(existing.has(option!) || option === '--help', `${name}: ${option}`);
      }
    }
  }
  t.ok(count > 50);
});

t.test('--help lists the same options', async (t) => {
  const commands = await listCommands();
  const seen = ['format', 'add-key', 'token import', 'mount'];
  for (const command of seen) {
    const help = (await luksfuse([...command.split(' '), '--help'])).stdout.toString();
    const listed = [...help.matchAll(/^ {2}(?:(-\w), )?(--[\w-]+|-\w)/gm)].flatMap(([, short, long]) => [
      short,
      long,
    ]);
    const options = listed.filter((option) => option !== undefined && !['-h', '--help'].includes(option));
    t.same(options.sort(), commands.get(command)?.toSorted(), command);
  }
});
