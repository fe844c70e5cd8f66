/**
 * What a driver is asked for and what it gives: one mount, from when it answers until it is gone.
 */
import { LuksError } from '../errors.js';
import type { CacheMode } from '../fuse/cache-policy.js';
import type { CounterTotals } from '../fuse/counters.js';
import type { BlockStore } from '../fuse/plain-file.js';
import { isUtf8 } from '../native/raw-names.js';

const NAME_MAX_BYTES = 255;
/** Each takes one of a volume's range locks, of which there are 128, and so do the main thread and a reencryption. */
export const MAX_WORKERS = 120;

/** What a user chooses of a mount. */
export interface MountSettings {
  /** An empty directory, or a regular file. */
  mountpoint: string;
  /** The file's name where the mountpoint is a directory; default `payload`. */
  fileName?: string;
  /** Permission bits of the file; default 0600. */
  mode?: number;
  /** Owner of the file; default the user of this process. */
  uid?: number;
  gid?: number;
  allowOther?: boolean;
  /** Let root in, besides the user of this process. */
  allowRoot?: boolean;
  cache?: CacheMode;
  /** So many workers, fixed. Default: one per core, 4 at most, and more while they wait for the payload. */
  workerCount?: number | undefined;
}

export interface SessionOptions extends MountSettings {
  /** The store as the main thread has it: its size, whether it is read-only, and the last sync. Not closed. */
  store: BlockStore;
  /** URL of the module that opens the store in each worker (StoreModule), and what it is given. */
  storeModule: string;
  storeHandle: unknown;
  /** What /proc/mounts shows as the source: the payload's path, say. */
  source: string;
}

export type FullSettings = Required<MountSettings>;
export type FullSessionOptions = Required<SessionOptions>;

/** @throws LuksError BAD_ARGUMENT where the file's name cannot be one, or so many workers cannot be */
export function withDefaults<T extends MountSettings>(options: T): T & FullSettings {
  const full = {
    fileName: 'payload',
    mode: 0o600,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    allowOther: false,
    allowRoot: false,
    cache: 'auto' as const,
    workerCount: undefined,
    ...options,
  };
  requireFileName(full.fileName);
  requireWorkerCount(full.workerCount);
  return full;
}

/** True for what can be the name of one file in a directory. */
export function isFileName(name: string): boolean {
  const isUsable = name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name);
  return isUsable && isUtf8(name) && Buffer.byteLength(name) <= NAME_MAX_BYTES;
}

/** Throws BAD_ARGUMENT where there cannot be so many. */
export function requireWorkerCount(count: number | undefined): void {
  if (count === undefined || (Number.isInteger(count) && count >= 1 && count <= MAX_WORKERS)) return;
  throw new LuksError('BAD_ARGUMENT', `${count} workers cannot be; take 1 to ${MAX_WORKERS}`);
}

function requireFileName(name: string): void {
  if (isFileName(name)) return;
  throw new LuksError(
    'BAD_ARGUMENT',
    `"${name}" cannot be a file's name; take one without "/", up to 255 bytes of UTF-8`,
  );
}

/** What `status` shows of a session at work. */
export interface Activity extends CounterTotals {
  workers: number;
  /** Requests being served. */
  queueDepth: number;
}

/** How a session ended: without `error` where it was unmounted and all is on stable storage. */
export interface SessionEnd {
  error?: Error;
}

export interface MountSession {
  /** The mountpoint's real path. */
  readonly mountpoint: string;
  /** Where the plaintext is. */
  readonly filePath: string;
  /** The number by which the kernel knows the mount. */
  readonly connection: number;
  /** Resolves once the mount is gone, nobody serves it any more and the store is synced. Never rejects. */
  readonly closed: Promise<SessionEnd>;
  /** Some keys lie in memory that could not be locked. */
  readonly hasUnlockedKeys: boolean;
  /** What is being served now and has been up to now. */
  activity(): Activity;
  /**
   * Unmounts and waits for `closed`, whose error it throws. BUSY while a file of it is open; `lazy` takes the
   * name away at once and leaves the rest to whoever closes the last file, without waiting.
   */
  unmount(options?: { lazy?: boolean }): Promise<void>;
}
