/**
 * What the kernel lets one set of a FUSE connection beside the descriptor, in /sys. Each works where /sys is there
 * and may be written; the mount does without them.
 */
import fs from 'node:fs';
import createDebug from 'debug';

const debug = createDebug('luksfuse:fuse');

/** Two READs of 1 MiB ahead. The kernel's own 128 KiB costs a sequential reader a third of its speed or more. */
const READ_AHEAD_KIB = 2048;

/** Null where it cannot be written. */
function openSetting(path: string): number | null {
  try {
    return fs.openSync(path, fs.constants.O_WRONLY);
  } catch (error) {
    debug('not to be set: %s', (error as Error).message);
    return null;
  }
}

function writeSetting(fd: number, value: number): void {
  try {
    fs.writeSync(fd, `${value}`);
  } catch (error) {
    debug('not set: %s', (error as Error).message);
  }
}

/** Lets the kernel read further ahead than it would; FUSE_INIT can only ask for less. Only root may. */
export function setReadAhead(connection: number): void {
  const fd = openSetting(`/sys/class/bdi/0:${connection}/read_ahead_kb`);
  if (fd === null) return;
  writeSetting(fd, READ_AHEAD_KIB);
  fs.closeSync(fd);
}

/** How a connection can be ended from without. The user who mounted may, where fusectl is mounted. */
export class AbortSwitch {
  /** Opened while the connection is there: the next one may have its number, but what was opened is of this one alone. */
  readonly #fd: number | null;

  constructor(connection: number) {
    this.#fd = openSetting(`/sys/fs/fuse/connections/${connection}/abort`);
  }

  /** Lets every request, waiting or to come, fail. */
  press(): void {
    if (this.#fd !== null) writeSetting(this.#fd, 1);
  }

  close(): void {
    if (this.#fd !== null) fs.closeSync(this.#fd);
  }
}
