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

async function runTests(world: World, counter: TapCounter): Promise<void> {
  const parts: string[] = [];
  for (const part of world.parts ?? []) parts.push(await lastLineOf(part));
  const enter = world.enter?.(...parts);
  if (enter) say(`${world.name}: ${await lastLineOf([...enter, 'node', 'dist/test/worlds/versions.js'])}`);
  await runLines([...(enter ?? []), ...world.tests], (line) => counter.take(line));
}

async function runWorld(world: World): Promise<TapCount> {
  const start = Date.now();
  const counter = new TapCounter((line) => say(`${world.name}: ${line}`));
  const { count } = counter;
  try {
    await runTests(world, counter);
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

const names = process.argv.slice(2);
const unknown = names.filter((name) => !WORLDS.some((world) => world.name === name));
if (unknown.length > 0)
  throw new Error(`there is no world ${unknown.join(', ')}; ${WORLDS.map(({ name }) => name).join(', ')}`);

const total: TapCount = { passed: 0, failed: 0, skipped: 0 };
for (const world of WORLDS) {
  if (names.length > 0 && !names.includes(world.name)) continue;
  const count = await runWorld(world);
  for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += count[key];
}
if (total.skipped > 0) say(`${total.skipped} skipped`);
say(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed > 0 ? 1 : 0;
