/**
 * What one process tells the next about the volume that it shall serve: everything but the keys as data, the keys' bytes
 * after it, from locked memory into locked memory, and files as open descriptors under agreed numbers, so that nothing
 * is opened twice.
 */
import fs from 'node:fs';
import type { Duplex } from 'node:stream';
import { deserialize, serialize } from 'node:v8';
import { Secret, type VolumeKeys } from '../crypto/secret.js';
import type { DeviceHandle } from '../device.js';
import { LuksError, systemError } from '../errors.js';
import { useRawNames } from '../native/raw-names.js';
import { closeInherited, requireNoDebugger, shieldProcess } from '../native/shield.js';
import { fillFrom } from '../stream.js';
import { filterTraces } from '../visible.js';
import type { VolumeLayout } from '../volume/layout.js';
import type { OnlineOrder } from '../volume/online.js';
import type { MountRecord } from './fuse-mount.js';
import type { ServeOptions } from './serve-options.js';

/** Descriptor numbers in the process that receives. */
export const LINE_FD = 3;
export const PAYLOAD_FD = 4;
/** Held open for the claim on it alone (lockImage); /dev/null where the header is no file. */
export const HEADER_FD = 5;
/** Of a server that takes a mount over: the connection, the memory of the session, … */
export const FUSE_FD = 6;
export const MEMORY_FD = 7;
/** … the payload opened once more, which is synced only where a server died in a sync, … */
export const WITNESS_FD = 8;
/** … and a clone of the connection for it alone. */
export const PROMPT_FD = 9;

/** Changes with this file, with what a server and its supervisor say to each other, and with the session's memory. */
const VERSION = 5;
const LENGTH_BYTES = 4;
/** The order is some segments and paths; more than this is not one of ours. */
const MAX_ORDER_BYTES = 1024 * 1024;

export interface Order {
  device: DeviceHandle;
  layout: VolumeLayout;
  options: ServeOptions;
  /** The mount to take over; null where it is still to be made. */
  mount: MountRecord | null;
  /** There is a descriptor PROMPT_FD. */
  hasPrompt: boolean;
  /** How the reencryption in the header is to go on while the mount is served; null where none is to. */
  online: OnlineOrder | null;
}

type SentOrder = Order & {
  version: number;
  /** In the order in which their bytes follow. */
  keys: readonly { digest: number; sizeBytes: number }[];
};

/** What a process says first: from now on nobody can look into it, and it may have the keys. */
const SHIELDED = Buffer.from('!');

/** False where the line ends before the other one has said so. */
function hearShielded(line: Duplex): Promise<boolean> {
  return new Promise((resolve) => {
    // Its `close` may have come already.
    if (line.destroyed) return resolve(false);
    const settle = (isShielded: boolean) => {
      line.off('readable', look).off('close', end);
      resolve(isShielded);
    };
    const end = () => settle(false);
    const look = () => {
      const said = line.read(SHIELDED.length) as Buffer | null;
      if (said !== null) settle(said.equals(SHIELDED));
    };
    line.on('readable', look).on('close', end);
  });
}

/**
 * Returns when all of it is on its way; false where the other one died before. What went wrong, its end tells, and what it
 * says.
 */
export async function sendOrder(line: Duplex, order: Order, keys: VolumeKeys): Promise<boolean> {
  line.on('error', () => {});
  if (!(await hearShielded(line))) return false;
  const shapes = [...keys].map(([digest, { sizeBytes }]) => ({ digest, sizeBytes }));
  const bytes = serialize({ version: VERSION, ...order, keys: shapes } satisfies SentOrder);
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(bytes.length);
  return new Promise((resolve) => {
    const pieces = [length, bytes, ...[...keys.values()].map((key) => key.bytes)];
    line.once('close', () => resolve(false));
    for (const [index, piece] of pieces.entries()) {
      line.write(piece, index === pieces.length - 1 ? (error) => resolve(!error) : undefined);
    }
  });
}

function readExactly(fd: number, buffer: Uint8Array): void {
  if (fillFrom(fd, buffer) < buffer.length) throw systemError('EPIPE', 'read');
}

/**
 * Shuts this process to others, and takes what `sendOrder` sent. The caller owns the keys. Throws UNSUPPORTED where another
 * version of this sent it, BUSY if a debugger may be in it.
 */
export async function receiveOrder(): Promise<{ order: Order; keys: VolumeKeys }> {
  shieldProcess();
  useRawNames();
  filterTraces();
  closeInherited(PROMPT_FD);
  fs.writeSync(LINE_FD, SHIELDED);
  const length = Buffer.alloc(LENGTH_BYTES);
  readExactly(LINE_FD, length);
  const bytes = Buffer.alloc(Math.min(length.readUInt32LE(), MAX_ORDER_BYTES));
  readExactly(LINE_FD, bytes);
  const { version, keys: shapes, ...order } = deserialize(bytes) as SentOrder;
  if (version !== VERSION) {
    throw new LuksError(
      'UNSUPPORTED',
      'this version cannot go on with a mount of the version that made it; unmount, and mount again',
    );
  }
  await requireNoDebugger();
  const keys = new Map<number, Secret>();
  for (const { digest, sizeBytes } of shapes) {
    const key = Secret.allocate(sizeBytes);
    readExactly(LINE_FD, key.bytes);
    keys.set(digest, key);
  }
  return { order, keys };
}
