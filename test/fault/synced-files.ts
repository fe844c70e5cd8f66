/**
 * Writes files and syncs each, until that fails: `node synced-files.js DIRECTORY ROUND`. The name of a file is printed when
 * it is on stable storage; its content follows from its name.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Random } from '../kit/random.js';

const MAX_BYTES = 200_000;
/** Fewer than fill the file system. */
const MAX_FILES = 200;

/** `f<seed>` */
export function contentOf(name: string): Buffer {
  const random = new Random(Number(name.slice(1)));
  return Buffer.from(random.bytes(1 + random.below(MAX_BYTES)));
}

function writeSynced(directory: string, name: string): void {
  const fd = fs.openSync(path.join(directory, name), 'w');
  fs.writeSync(fd, contentOf(name));
  fs.fsyncSync(fd);
  fs.closeSync(fd);
  // The name is synced with its directory.
  const directoryFd = fs.openSync(directory, 'r');
  fs.fsyncSync(directoryFd);
  fs.closeSync(directoryFd);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [directory, round] = process.argv.slice(2) as [string, string];
  for (let file = 1; file <= MAX_FILES; file++) {
    const name = `f${Number(round) * 1000 + file}`;
    writeSynced(directory, name);
    process.stdout.write(`${name}\n`);
  }
  // The daemon is killed while something is written.
  for (;;) writeSynced(directory, `g${round}`);
}
