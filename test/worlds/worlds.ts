/**
 * The worlds that the program is tested in, and what runs in each. A world is a command that writes TAP, and may tell its
 * versions in comments that begin with "versions: ".
 */
import fs from 'node:fs';
import path from 'node:path';
import { PROJECT_DIR } from '../kit/luksfuse.js';

export type Command = readonly string[];

export interface World {
  name: string;
  /** Programs that make what the world consists of, which is kept in the cache; each prints the path of it. */
  parts?: readonly Command[];
  /** What to put in front of a command, so that it runs in there. Not for tests that lead to their world themselves. */
  enter?: (...parts: string[]) => Command;
  /** Writes TAP. */
  tests: Command;
  /** Takes longer than continuous integration has: run where all are to be recorded. */
  isSlow?: boolean;
}

const HERE = path.join(PROJECT_DIR, 'test/worlds');
const ENTER = path.join(HERE, 'enter.sh');
const TESTS_DIR = path.join(PROJECT_DIR, 'dist/test');

/** The test files of directories, and files by their name without ".test.js". */
function files(...names: string[]): string[] {
  return names.flatMap((name) => {
    const dir = path.join(TESTS_DIR, name);
    if (!fs.existsSync(dir)) return [`dist/test/${name}.test.js`];
    const tests = fs.readdirSync(dir).filter((file) => file.endsWith('.test.js'));
    return tests.map((file) => `dist/test/${name}/${file}`);
  });
}

/** The test runner; without files it runs all. */
function tap(...tests: string[]): Command {
  return ['node', 'node_modules/.bin/tap', 'run', '--disable-coverage', '--reporter=tap', ...tests];
}

/** This machine with another Node. */
function nodeWorld(version: string, tests: Command): World {
  const name = `node-${version}`;
  const enter = (node: string) => [ENTER, name, '/', node];
  return { name, parts: [[path.join(HERE, 'node.sh'), version]], enter, tests };
}

/** Guests of guest.ts, each of them a kernel with the Debian that it is part of. */
function guestWorld(name: string, ...guests: string[]): World {
  return { name, tests: ['node', 'dist/test/worlds/guest.js', ...guests] };
}

/** A Debian with all that is its own. */
function debianWorld(suite: string, tests: Command): World {
  const enter = (root: string) => [ENTER, suite, root, ''];
  return { name: suite, parts: [[path.join(HERE, 'debian.sh'), suite]], enter, tests };
}

/** Long, and nothing in them that differs from world to world. */
const REPETITIVE = /\/(fsx|fsx-processes|large-offset|reencrypt-online)\.test\.js$/;

/** Crypto, format, mounting, crashes, upgrading and unmounting. */
const SHORT = [
  ...files('unit/crypto', 'unit/format', 'unit/fuse', 'unit/mount', 'unit/native', 'unit/volume'),
  ...files('mount', 'fault/crashes', 'fault/daemon-killed', 'fault/supervisor', 'fault/upgrade'),
].filter((file) => !REPETITIVE.test(file) && !file.endsWith('/cipher-space.test.js'));

/** For what is newest, where something is likeliest to break: every cipher by every engine, and keys in memory, too. */
const FULL = [...SHORT, ...files('unit/crypto/cipher-space', 'fault/key-memory')];

/** With the cryptsetup and the QEMU of a Debian. */
const INTEROP = files(
  ...[
    'headers',
    'keys',
    'keyslots',
    'luks1',
    'luks2',
    'inspect',
    'refusals',
    'qemu',
    'qemu-tools',
    'qemu-secret',
  ].map((name) => `interop/${name}`),
);
/** What npm installs, with the Node that it then runs on. */
const INSTALLED = files('cli/pack');

export const WORLDS: readonly World[] = [
  { name: 'host', enter: () => [], tests: tap() },
  nodeWorld('22', tap(...SHORT, ...INSTALLED)),
  nodeWorld('24', tap(...SHORT, ...INSTALLED)),
  nodeWorld('latest', tap(...FULL, ...INSTALLED)),
  debianWorld('trixie', tap(...SHORT, ...INTEROP)),
  debianWorld('sid', tap(...FULL, ...INTEROP)),
  { name: 'deb', tests: ['test/worlds/deb.sh'] },
  { name: 'shutdown', tests: ['test/worlds/shutdown.sh'] },
  guestWorld('kernels', 'linux-5.10', 'linux-6.1', 'linux-6.12', 'linux-newest'),
  { ...guestWorld('arm64', 'arm64-16k'), isSlow: true },
  { name: 'armhf', tests: [path.join(HERE, 'armhf.sh')], isSlow: true },
];
