/**
 * Mounts, loop devices, processes and directories that tests left behind. tap runs this file before and
 * after all tests (package.json): the first run remembers what was there already, the second one fails on
 * anything new. What belongs to a test process that still runs is another run's business.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { PROJECT_DIR } from './luksfuse.js';
import { listLoops, listMounts } from './mounts.js';
import { findProcesses, isRunning, listOpenFiles, listWaits } from './processes.js';
import { TEMP_PREFIX, TEMP_ROOTS } from './temp.js';

/** What ends by itself, such as the daemon of a file that was unmounted with umount(8), may take so long for it. */
const ENDING_MS = 60_000;
/** From here on it is said that it takes so long. */
const LONG_MS = 5000;

const OWNED_PATH = new RegExp(`/${TEMP_PREFIX}(\\d+)-`);

/** Where every process of the program under test was started from, the daemons too. */
const PROGRAM_DIR = path.join(PROJECT_DIR, 'dist/lib/');

/** True for text that names a directory of a test whose process has ended. */
function isLeft(text: string): boolean {
  const owner = OWNED_PATH.exec(text)?.[1];
  return owner !== undefined && !isRunning(Number(owner));
}

interface Leftover {
  name: string;
  /** What it may be known by at this moment. */
  describe?: () => string;
}

function findLeftovers(): Leftover[] {
  const mounts = listMounts().filter(({ mountpoint, source }) => isLeft(mountpoint) || isLeft(source));
  const loops = listLoops().filter(({ file }) => isLeft(file));
  const processes = findProcesses((text) => isLeft(text) || text.includes(PROGRAM_DIR));
  const dirs = TEMP_ROOTS.flatMap((root) => fs.readdirSync(root).map((name) => path.join(root, name)));
  return [
    ...mounts.map((mount) => ({ name: `mount ${mount.mountpoint} (${mount.type})` })),
    ...loops.map((loop) => ({ name: `loop device ${loop.device} on ${loop.file}` })),
    ...processes.map(({ pid, args }) => ({
      name: `process ${pid}: ${args}`,
      describe: () =>
        `it has open: ${listOpenFiles(pid).join(' ')}; its threads are in ${listWaits(pid).join(' ')}`,
    })),
    ...dirs.filter((dir) => isLeft(`${dir}/`)).map((dir) => ({ name: `directory ${dir}` })),
  ];
}

/** What is there and not in `before`, when it had its time to end. */
async function findLeft(before: Set<string>): Promise<Leftover[]> {
  const start = Date.now();
  let isSaid = false;
  for (;;) {
    const left = findLeftovers().filter(({ name }) => !before.has(name));
    if (left.length === 0 || Date.now() - start > ENDING_MS) return left;
    if (!isSaid && Date.now() - start > LONG_MS) {
      report('still there', left);
      isSaid = true;
    }
    await delay(100);
  }
}

function report(what: string, left: readonly Leftover[]): void {
  for (const { name, describe } of left) process.stderr.write(`${what}: ${name} ${describe?.() ?? ''}\n`);
}

/** Both runs have the same parent, tap. */
const memory = path.join(os.tmpdir(), `luksfuse-leftovers-${process.ppid}.json`);

if (!fs.existsSync(memory)) {
  fs.writeFileSync(memory, JSON.stringify(findLeftovers().map(({ name }) => name)));
} else {
  const before = new Set(JSON.parse(fs.readFileSync(memory, 'utf8')) as string[]);
  fs.rmSync(memory);
  const left = await findLeft(before);
  report('left behind by the tests', left);
  process.exitCode = left.length > 0 ? 1 : 0;
}
