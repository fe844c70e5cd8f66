/**
 * What the kernel lets one set of a FUSE connection beside the descriptor, in /sys. Each works where /sys is there
 * and may be written; the mount does without them.
 */
import fs from 'node:fs';
import createDebug from 'debug';

const debug = createDebug('luksfuse:fuse');

/** Two READs of 1 MiB ahead. The kernel's own 128 KiB costs a sequential reader a third of its speed or more. */
const READ_AHEAD_KIB = 2048;

async function writeSetting(path: string, value: number): Promise<void> {
  try {
    await fs.promises.writeFile(path, `${value}`);
  } catch (error) {
    debug('not set: %s', (error as Error).message);
  }
}

/** The number by which /sys knows the connection that is mounted on `path`. Throws where it does not answer. */
export async function connectionNumber(path: string): Promise<number> {
  const { dev } = await fs.promises.stat(path);
  // A FUSE mount's device number has major 0 and fits in the low 20 bits (makedev(3)).
  return (dev & 0xff) | ((dev >> 12) & 0xfff00);
}

/** Lets the kernel read further ahead than it would; FUSE_INIT can only ask for less. Only root may. */
export function setReadAhead(connection: number): Promise<void> {
  return writeSetting(`/sys/class/bdi/0:${connection}/read_ahead_kb`, READ_AHEAD_KIB);
}

/** Lets every request, waiting or to come, fail. The user who mounted may, where fusectl is mounted. */
export function abortConnection(connection: number): Promise<void> {
  return writeSetting(`/sys/fs/fuse/connections/${connection}/abort`, 1);
}
