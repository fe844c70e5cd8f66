/**
 * Holds lib/ to what lib/ARCHITECTURE.md says: who may import whom, no cycles, small files, and nobody but
 * the command line speaks or exits.
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { PROJECT_DIR } from './kit/luksfuse.js';

const LIB_DIR = path.join(PROJECT_DIR, 'lib');
const MAX_LINES = 300;
/** Tables of a foreign ABI and generated modules are as long as they are. */
const MAY_BE_LONG = /(^|\/)abi\.ts$|\.wasm\.ts$/;

interface SourceFile {
  /** Relative to lib/. */
  name: string;
  room: string;
  text: string;
  /** Names of the files of lib/ it imports. */
  imports: string[];
}

const DOCUMENT = fs.readFileSync(path.join(LIB_DIR, 'ARCHITECTURE.md'), 'utf8');

/** The line "`base` is `errors`, `bytes`, …" names the files and directories of the base room. */
const BASE_NAMES = new Set(
  [...(/^`base` is (.*)$/m.exec(DOCUMENT)?.[1] ?? '').matchAll(/`([\w-]+)\/?`/g)].map((match) => match[1]!),
);

function roomOf(name: string): string {
  const [first] = name.split('/') as [string];
  const room = first.replace(/\.ts$/, '');
  return BASE_NAMES.has(room) ? 'base' : room;
}

function findImports(name: string, text: string): string[] {
  const specifiers = [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*['"](\.[^'"]+)['"]/g)].map((m) => m[1]!);
  return specifiers.map((specifier) => path.join(path.dirname(name), specifier).replace(/\.js$/, '.ts'));
}

function loadSources(): Map<string, SourceFile> {
  const names = fs.readdirSync(LIB_DIR, { recursive: true, encoding: 'utf8' });
  const sources = names
    .filter((name) => name.endsWith('.ts'))
    .map((name) => {
      const text = fs.readFileSync(path.join(LIB_DIR, name), 'utf8');
      return { name, room: roomOf(name), text, imports: findImports(name, text) };
    });
  return new Map(sources.map((source) => [source.name, source]));
}

/** The table under "Who may import whom": room → rooms. */
function loadRules(): Map<string, Set<string>> {
  const section = DOCUMENT.split(/^#+ /m).find((part) => part.startsWith('Who may import whom')) ?? '';
  const rows = [...section.matchAll(/^\|([^|]+)\|([^|]+)\|\s*$/gm)].slice(2); // after the head and its rule
  return new Map(
    rows.map(([, room, rooms]) => [room!.trim(), new Set(rooms!.split(',').map((name) => name.trim()))]),
  );
}

/** The first import cycle met, as the files along it, or null. */
function findCycle(sources: Map<string, SourceFile>): string[] | null {
  const done = new Set<string>();
  const visit = (name: string, trail: string[]): string[] | null => {
    if (trail.includes(name)) return [...trail.slice(trail.indexOf(name)), name];
    if (done.has(name)) return null;
    for (const next of sources.get(name)?.imports ?? []) {
      const cycle = visit(next, [...trail, name]);
      if (cycle) return cycle;
    }
    done.add(name);
    return null;
  };
  for (const name of sources.keys()) {
    const cycle = visit(name, []);
    if (cycle) return cycle;
  }
  return null;
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');
}

const sources = loadSources();
const rules = loadRules();

t.test('every room is in the table', (t) => {
  t.ok(rules.size > 0, 'lib/ARCHITECTURE.md has the table');
  const rooms = [...new Set([...sources.values()].map((source) => source.room))];
  t.strictSame(
    rooms.filter((room) => !rules.has(room)),
    [],
  );
  t.end();
});

t.test('rooms import only what the table allows', (t) => {
  const wrong = [...sources.values()].flatMap((source) =>
    source.imports
      .filter((target) => roomOf(target) !== source.room)
      .filter((target) => !rules.get(source.room)?.has(roomOf(target)))
      .map((target) => `${source.name} (${source.room}) imports ${target} (${roomOf(target)})`),
  );
  t.strictSame(wrong, []);
  t.end();
});

t.test('every import within lib/ leads to a file', (t) => {
  const missing = [...sources.values()].flatMap((source) =>
    source.imports.filter((target) => !sources.has(target)).map((target) => `${source.name}: ${target}`),
  );
  t.strictSame(missing, []);
  t.end();
});

t.test('there is no import cycle', (t) => {
  t.equal(findCycle(sources), null);
  t.end();
});

t.test(`no file is longer than ${MAX_LINES} lines`, (t) => {
  const long = [...sources.values()]
    .filter((source) => !MAY_BE_LONG.test(source.name))
    .map((source) => ({ name: source.name, lines: source.text.split('\n').length - 1 }))
    .filter(({ lines }) => lines > MAX_LINES);
  t.strictSame(long, []);
  t.end();
});

t.test('only the command line prints and exits', (t) => {
  const forbidden = /\bconsole\s*\.|\bprocess\.(exit\b|stdout|stderr)/;
  const speakers = [...sources.values()]
    .filter((source) => source.room !== 'cli' && forbidden.test(withoutComments(source.text)))
    .map((source) => source.name);
  t.strictSame(speakers, []);
  t.end();
});
