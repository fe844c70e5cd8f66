/**
 * What the kernel lets one set of a FUSE connection beside the descriptor, in /sys. Each works where /sys is there
 * and may be written; the mount does without them.
 */
import fs from 'node:fs';
import createDebug from 'debug';

const debug = createDebug('luksfuse:fuse');

/** Two READs of 1 MiB ahead. The kernel's own 128 KiB costs a sequential reader a third of its speed or more. */
const READ_AHEAD_KIB = 2048;

/** Null where `change` fails: the mount does without it. */
function attempt<T>(change: () => T): T | null {
  try {
    return change();
  } catch (error) {
    debug('not set: %s', (error as Error).message);
    return null;
  }
}

/** Lets the kernel read further ahead than it would; FUSE_INIT can only ask for less. Only root may. */
export function setReadAhead(connection: number): void {
  attempt(() => fs.writeFileSync(`/sys/class/bdi/0:${connection}/read_ahead_kb`, `${READ_AHEAD_KIB}`));
}

/** Ends a connection from outside. The user who mounted may, where fusectl is mounted. */
export class AbortSwitch {
  /** Opened while the connection exists. A later one may get its number, but this descriptor belongs to this one alone. */
  readonly #fd: number | null;

  constructor(connection: number) {
    const path = `/sys/fs/fuse/connections/${connection}/abort`;
    this.#fd = attempt(() => fs.openSync(path, fs.constants.O_WRONLY));
  }

  /** Lets every request, waiting or to come, fail. */
  press(): void {
    const fd = this.#fd;
    if (fd !== null) attempt(() => fs.writeSync(fd, '1'));
  }

  close(): void {
    if (this.#fd !== null) fs.closeSync(this.#fd);
  }
}
