/**
 * Runs the tests in worlds (worlds.ts): in those that are named, or in all but the slow ones. Says what failed where, as it
 * happens; the last line is "N passed, N failed". What is built in dist/ is what runs, in every world. With --record first
 * the slow ones run too, and test/RESULTS-WORLDS.md is written.
 */
import { spawn } from 'node:child_process';
import readline from 'node:readline';
import { PROJECT_DIR } from '../kit/luksfuse.js';
import { recordResult, type WorldResult } from './results.js';
import { type TapCount, TapCounter } from './tap-count.js';
import { type Command, WORLDS, type World } from './worlds.js';

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Runs a command, its standard output line by line through `onLine`; throws where it fails. */
async function runLines([program, ...args]: Command, onLine: (line: string) => void): Promise<void> {
  const child = spawn(program!, args, {
    cwd: PROJECT_DIR,
    env: { ...process.env, REQUIRE_ALL: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(signal ?? code));
  });
  readline.createInterface({ input: child.stdout }).on('line', onLine);
  const status = await ended;
  if (status !== 0) throw new Error(`${program} ended with ${status}`);
}

async function lastLineOf(command: Command): Promise<string> {
  let last = '';
  await runLines(command, (line) => {
    last = line;
  });
  return last;
}

const VERSIONS = /^ *# versions: (.*)/;

async function runTests(world: World, counter: TapCounter, versions: string[]): Promise<void> {
  const tellVersions = (line: string) => {
    versions.push(line);
    say(`${world.name}: ${line}`);
  };
  // While no test runs: what makes a Debian has a mount namespace, and its copies of mounts outlast an umount of them.
  const parts: string[] = [];
  for (const part of world.parts ?? []) parts.push(await lastLineOf(part));
  const enter = world.enter?.(...parts);
  if (enter) tellVersions(await lastLineOf([...enter, 'node', 'dist/test/worlds/versions.js']));
  await runLines([...(enter ?? []), ...world.tests], (line) => {
    const [, said] = VERSIONS.exec(line) ?? [];
    if (said) tellVersions(said);
    else counter.take(line);
  });
}

async function runWorld(world: World): Promise<WorldResult> {
  const start = Date.now();
  const counter = new TapCounter((line) => say(`${world.name}: ${line}`));
  const { count } = counter;
  const versions: string[] = [];
  try {
    await runTests(world, counter, versions);
    if (count.passed === 0) throw new Error('no test ran');
  } catch (error) {
    // A runner that fails since a test did has said so.
    if (count.failed === 0) {
      say(`${world.name}: not ok - ${(error as Error).message}`);
      count.failed = 1;
    }
  }
  const { passed, failed, skipped } = count;
  const minutes = (Date.now() - start) / 60_000;
  say(
    `${world.name}: ${passed} passed, ${failed} failed, ${skipped} skipped in ${minutes.toFixed(1)} minutes`,
  );
  return { ...count, name: world.name, versions, minutes };
}

const NAMES = WORLDS.map(({ name }) => name);

function chooseWorlds(names: readonly string[], withSlow: boolean): readonly World[] {
  const unknown = names.filter((name) => !NAMES.includes(name));
  if (unknown.length > 0)
    throw new Error(`there is no world ${unknown.join(', ')}; choose among ${NAMES.join(', ')}`);
  if (names.length > 0) return WORLDS.filter(({ name }) => names.includes(name));
  return WORLDS.filter(({ isSlow }) => withSlow || !isSlow);
}

const doesRecord = process.argv[2] === '--record';
const total: TapCount = { passed: 0, failed: 0, skipped: 0 };
for (const world of chooseWorlds(process.argv.slice(doesRecord ? 3 : 2), doesRecord)) {
  const result = await runWorld(world);
  if (doesRecord) recordResult(result, NAMES);
  for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += result[key];
}
if (total.skipped > 0) say(`${total.skipped} skipped`);
say(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed > 0 ? 1 : 0;
