/**
 * Starts the process that keeps a mount in the background, and hands it the unlocked volume.
 *
 * The command that ran in the foreground has asked for the passphrase and derived the key (argon2 may have taken
 * a gigabyte for it); the daemon starts fresh and small.
 */
import { once } from 'node:events';
import fs from 'node:fs';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { VolumeKeys } from '../crypto/secret.js';
import { Device } from '../device.js';
import { isSystemError, LuksError } from '../errors.js';
import { findSharingObstacle } from '../native/shared-memory.js';
import type { LocatedVolume } from '../volume/locate.js';
import { spawnModule } from './child.js';
import { type ErrorRecord, fromErrorRecord, type MountInfo, toErrorRecord } from './control.js';
import { LINE_FD, PAYLOAD_FD, sendOrder } from './order.js';
import type { ServeOptions } from './serve-options.js';

/** How long a daemon may take to mount: longer than `mount` (LIMIT_MS) or its server (START_LIMITS) may. */
const STARTING_MS = 1_800_000;
/** How long a daemon that has said why it failed may take to end. */
const ENDING_MS = 5000;

type Answer = { mount: MountInfo } | { error: ErrorRecord };

/** libfuse makes its own connection, and ends it with its process. */
function canSupervise({ driver, isSupervised }: ServeOptions): boolean {
  return isSupervised === true && driver === 'dev-fuse' && findSharingObstacle() === null;
}

/**
 * Starts the daemon, a supervisor where the mount is to have one, and returns when its mount answers; throws its reason
 * where it could not mount. The caller closes the payload and destroys the keys: the daemon has its own.
 */
export async function startDaemon(
  located: LocatedVolume,
  keys: VolumeKeys,
  options: ServeOptions,
): Promise<MountInfo> {
  const { payload, layout } = located;
  const header = located.device instanceof Device ? located.device.fd : 'ignore';
  const program = canSupervise(options) ? './supervisor-main.js' : './daemon-main.js';
  const entry = fileURLToPath(new URL(program, import.meta.url));
  const stderr = process.env.DEBUG ? 'inherit' : 'ignore';
  const child = await spawnModule(entry, {
    detached: true,
    stdio: ['ignore', 'ignore', stderr, 'pipe', payload.fd, header],
  });
  const exit = once(child, 'exit');
  const line = child.stdio[LINE_FD] as Duplex;
  const device = { ...payload.handle, fd: PAYLOAD_FD };
  // Without its line it undoes what it has made, when it comes to that.
  const timer = setTimeout(() => line.destroy(), STARTING_MS).unref();
  await sendOrder(line, { device, layout, options, mount: null, hasPrompt: false, online: null }, keys);
  const answer = await text(line).catch(() => '');
  clearTimeout(timer);
  const parsed = answer ? (JSON.parse(answer) as Answer) : null;
  // One that failed has its claim on the payload until it is gone, and who tries again must not find that.
  if (!parsed || 'error' in parsed) await Promise.race([exit, delay(ENDING_MS, undefined, { ref: false })]);
  child.unref();
  if (!parsed) {
    const how = child.exitCode === null && child.signalCode === null ? 'got nowhere' : 'ended';
    throw new LuksError('DEVICE_IO', `the daemon ${how} before its mount answered; see --foreground`);
  }
  if ('error' in parsed) throw fromErrorRecord(parsed.error);
  return parsed.mount;
}

/** False where the starting process was killed meanwhile. */
function answer(document: Answer): boolean {
  try {
    fs.writeSync(LINE_FD, JSON.stringify(document));
    return true;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return false;
  } finally {
    fs.closeSync(LINE_FD);
  }
}

/** In the daemon: lets the starting process return with success. A mount that nobody hears of is detached again. */
export async function answerReady(
  info: MountInfo,
  mount: { unmount(how: { lazy: boolean }): Promise<unknown> },
): Promise<void> {
  if (!answer({ mount: info })) await mount.unmount({ lazy: true });
}

/** In the daemon: lets the starting process fail with this reason. */
export function answerFailure(error: unknown): void {
  answer({ error: toErrorRecord(error) });
}
