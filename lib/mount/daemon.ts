/**
 * Starts the process that serves a mount in the background, and hands it the unlocked volume.
 *
 * The command that ran in the foreground has asked for the passphrase and derived the key (argon2 may have taken
 * a gigabyte for it); the daemon starts fresh and small. The key crosses on a socket pair, from locked memory into
 * locked memory; the payload crosses as an open descriptor, so nothing is opened twice.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { deserialize, serialize } from 'node:v8';
import { Secret } from '../crypto/secret.js';
import { Device } from '../device.js';
import { LuksError, systemError } from '../errors.js';
import type { LocatedVolume } from '../volume/locate.js';
import { Volume } from '../volume/volume.js';
import { type ErrorRecord, fromErrorRecord, type MountInfo, toErrorRecord } from './control.js';
import type { ServeOptions } from './serve.js';

/** Descriptor numbers in the daemon. */
const LINE_FD = 3;
const PAYLOAD_FD = 4;

const LENGTH_BYTES = 4;
/** The order is some segments and paths; more than this is not one of ours. */
const MAX_ORDER_BYTES = 1024 * 1024;

interface Order {
  device: Volume['handle']['device'];
  layout: Volume['handle']['layout'];
  options: ServeOptions;
  keySizeBytes: number;
}

type Answer = { mount: MountInfo } | { error: ErrorRecord };

/**
 * Starts the daemon and returns when its mount answers; throws its reason where it could not mount.
 * The caller closes the payload and destroys the key: the daemon has its own.
 */
export async function startDaemon(
  located: LocatedVolume,
  volumeKey: Secret,
  options: ServeOptions,
): Promise<MountInfo> {
  const { payload, layout } = located;
  // Held open by the daemon for the claim on it alone (lockImage).
  const header = located.device instanceof Device ? located.device.fd : 'ignore';
  const entry = fileURLToPath(new URL('./daemon-main.js', import.meta.url));
  const stderr = process.env.DEBUG ? 'inherit' : 'ignore';
  const child = spawn(process.execPath, [entry], {
    cwd: '/',
    detached: true,
    stdio: ['ignore', 'ignore', stderr, 'pipe', payload.fd, header],
  });
  await once(child, 'spawn');
  const line = child.stdio[LINE_FD] as Duplex;
  const device = { ...payload.handle, fd: PAYLOAD_FD };
  const order = serialize({ device, layout, options, keySizeBytes: volumeKey.sizeBytes } satisfies Order);
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(order.length);
  line.write(length);
  line.write(order);
  await new Promise<void>((resolve, reject) => {
    line.once('error', reject);
    line.write(volumeKey.bytes, () => resolve());
  });
  const answer = await text(line);
  child.unref();
  if (!answer)
    throw new LuksError('DEVICE_IO', 'the daemon ended before its mount answered; see --foreground');
  const parsed = JSON.parse(answer) as Answer;
  if ('error' in parsed) throw fromErrorRecord(parsed.error);
  return parsed.mount;
}

function readExactly(fd: number, buffer: Uint8Array): void {
  for (let done = 0; done < buffer.length; ) {
    const count = fs.readSync(fd, buffer, done, buffer.length - done, null);
    if (count === 0) throw systemError('EPIPE', 'read');
    done += count;
  }
}

/** In the daemon: takes the volume that the starting process sends. */
export function receiveOrder(): { volume: Volume; options: ServeOptions } {
  const length = Buffer.alloc(LENGTH_BYTES);
  readExactly(LINE_FD, length);
  const orderBytes = Buffer.alloc(Math.min(length.readUInt32LE(), MAX_ORDER_BYTES));
  readExactly(LINE_FD, orderBytes);
  const order = deserialize(orderBytes) as Order;
  const volumeKey = Secret.allocate(order.keySizeBytes);
  readExactly(LINE_FD, volumeKey.bytes);
  return {
    volume: Volume.create(Device.adopt(order.device), order.layout, volumeKey),
    options: order.options,
  };
}

function answer(document: Answer): void {
  fs.writeSync(LINE_FD, JSON.stringify(document));
  fs.closeSync(LINE_FD);
}

/** In the daemon: lets the starting process return with success. */
export function answerReady(mount: MountInfo): void {
  answer({ mount });
}

/** In the daemon: lets the starting process fail with this reason. */
export function answerFailure(error: unknown): void {
  answer({ error: toErrorRecord(error) });
}
