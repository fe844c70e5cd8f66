/**
 * Runs the tests in worlds (worlds.ts): in those that are named, or in all. Says what failed where, as it happens; the last
 * line is "N passed, N failed". What is built in dist/ is what runs, in every world.
 */
import { spawn } from 'node:child_process';
import readline from 'node:readline';
import { PROJECT_DIR } from '../kit/luksfuse.js';
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

async function runTests(world: World, made: Promise<string[]>, counter: TapCounter): Promise<void> {
  const parts = await made;
  const enter = world.enter?.(...parts);
  if (enter) say(`${world.name}: ${await lastLineOf([...enter, 'node', 'dist/test/worlds/versions.js'])}`);
  await runLines([...(enter ?? []), ...world.tests], (line) => counter.take(line));
}

async function runWorld(world: World, made: Promise<string[]>): Promise<TapCount> {
  const start = Date.now();
  const counter = new TapCounter((line) => say(`${world.name}: ${line}`));
  const { count } = counter;
  try {
    await runTests(world, made, counter);
    if (count.passed === 0) throw new Error('no test ran');
  } catch (error) {
    // A runner that fails since a test did has said so.
    if (count.failed === 0) {
      say(`${world.name}: not ok - ${(error as Error).message}`);
      count.failed = 1;
    }
  }
  const minutes = ((Date.now() - start) / 60_000).toFixed(1);
  say(
    `${world.name}: ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped in ${minutes} minutes`,
  );
  return count;
}

/** The paths of what a world consists of. A lack is told when the world's turn has come. */
function makeParts(world: World): Promise<string[]> {
  const made = Promise.all((world.parts ?? []).map(lastLineOf));
  made.catch(() => {});
  return made;
}

function chooseWorlds(names: readonly string[]): readonly World[] {
  const unknown = names.filter((name) => !WORLDS.some((world) => world.name === name));
  const known = WORLDS.map(({ name }) => name).join(', ');
  if (unknown.length > 0) throw new Error(`there is no world ${unknown.join(', ')}; choose among ${known}`);
  return names.length > 0 ? WORLDS.filter(({ name }) => names.includes(name)) : WORLDS;
}

// All are made while the first ones are being tested.
const worlds = chooseWorlds(process.argv.slice(2)).map((world) => ({ world, made: makeParts(world) }));
const total: TapCount = { passed: 0, failed: 0, skipped: 0 };
for (const { world, made } of worlds) {
  const count = await runWorld(world, made);
  for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += count[key];
}
if (total.skipped > 0) say(`${total.skipped} skipped`);
say(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed > 0 ? 1 : 0;
