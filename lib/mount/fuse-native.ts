/**
 * The second driver: libfuse 2 through the optional package fuse-native, for machines where the kernel's protocol
 * cannot be spoken directly. One thread serves, the main one; requests are 128 KiB at most.
 * Joins a store with libfuse and knows the inside of neither.
 */
import fs from 'node:fs';
import { basename, join } from 'node:path';
import createDebug from 'debug';
import type FuseNative from 'fuse-native';
import { LuksError } from '../errors.js';
import { FUSE_DEVICE_PATH } from '../fuse/channel.js';
import { Counters } from '../fuse/counters.js';
import { unmountFuse } from '../fuse/mount-helper.js';
import { FILE_SYSTEM_SUBTYPE, MOUNT_MARK, type Mountpoint } from '../fuse/mountpoint.js';
import { describeTree, PlainFile } from '../fuse/plain-file.js';
import { hasUnlockedKeys } from '../native/memory.js';
import { PAGE_BYTES } from '../native/page-size.js';
import { isUtf8 } from '../native/raw-names.js';
import { withSignalsBlocked } from '../native/signals.js';
import { createOperations } from './fuse-native-operations.js';
import {
  type Activity,
  type FullSessionOptions,
  type MountSession,
  type SessionEnd,
  type SessionOptions,
  withDefaults,
} from './mount-session.js';
import { isMounted } from './mount-table.js';
import { MountpointLock } from './mountpoint-lock.js';
import { findOwnMount, mountedMeanwhile } from './own-mount.js';
import type { StoreModule } from './worker.js';

const debug = createDebug('luksfuse:mount');

/** libfuse 2 receives into a buffer of this and a page (MIN_BUFSIZE, lib/fuse_kern_chan.c). */
const MAX_WRITE_BYTES = 128 * 1024;
/** Without a word of libfuse 2 the kernel reads so many pages at once (FUSE_DEFAULT_MAX_PAGES_PER_REQ). */
const MAX_REQUEST_BYTES = Math.max(MAX_WRITE_BYTES, 32 * PAGE_BYTES);
/** fuse-native copies the option string, and the mountpoint, into 1024 bytes each. */
const MAX_OPTION_BYTES = 1023;
/** Names, ids and the size never change behind the kernel. */
const VALID_SECONDS = 86_400;
/** The package tells times in milliseconds. */
const STAT_PRECISION_NS = 1_000_000n;
/** How soon the end of a mount is noticed: libfuse's threads just end then. */
const WATCH_MS = 100;

const CURE =
  'install libfuse2 (apt-get install libfuse2) and the package (npm install -g --ignore-scripts fuse-native@2.2.6); if ' +
  'fuse-native has no build for the machine, also libfuse-dev and a compiler, and let its install script run';

async function loadFuseNative(): Promise<typeof FuseNative> {
  try {
    return (await import('fuse-native')).default;
  } catch (cause) {
    const [reason] = (cause as Error).message.split('\n');
    throw new LuksError('UNSUPPORTED', `cannot load fuse-native: ${reason}; ${CURE}`, { cause });
  }
}

/** @throws LuksError UNSUPPORTED, naming what to install, where the package or libfuse 2 is missing */
export async function requireFuseNative(): Promise<void> {
  await loadFuseNative();
}

/** What is asked of a driver that not every one can do. */
export interface DriverDemands extends Pick<SessionOptions, 'cache' | 'workerCount'> {
  allowDiscards?: boolean | undefined;
}

/** @throws LuksError BAD_ARGUMENT where something is asked for that fuse-native cannot do */
export function requireNativeOptions(mountpoint: Mountpoint, options: DriverDemands): void {
  const refuse = (why: string): never => {
    throw new LuksError('BAD_ARGUMENT', `${why}; use --driver dev-fuse`);
  };
  if (!mountpoint.isDirectory) refuse(`fuse-native mounts on directories only, not on ${mountpoint.path}`);
  if (Buffer.byteLength(mountpoint.path) > MAX_OPTION_BYTES) refuse('the path of the mountpoint is too long');
  if (!isUtf8(mountpoint.path)) refuse('fuse-native mounts only where the path is UTF-8');
  if (options.cache === 'writeback') refuse('fuse-native has no writeback cache');
  if (options.workerCount !== undefined) refuse('fuse-native serves with one thread');
  if (options.allowDiscards) refuse('fuse-native has no fallocate, and so no discards');
}

/** A comma ends an option but behind a backslash (fuse_opt_parse). */
function sourceOption(source: string): string {
  return `fsname=${source.replace(/[\\,]/g, '\\$&')}`;
}

function libfuseOptions(options: FullSessionOptions): string {
  const flags = [
    'big_writes',
    `max_write=${MAX_WRITE_BYTES}`,
    options.cache === 'none' ? 'direct_io' : 'kernel_cache',
    `entry_timeout=${VALID_SECONDS}`,
    `attr_timeout=${VALID_SECONDS}`,
    'default_permissions',
    'nosuid',
    'nodev',
    'noatime',
    options.store.isReadOnly ? 'ro' : 'rw',
    ...(options.allowOther ? ['allow_other'] : []),
    ...(options.allowRoot && !options.allowOther ? ['allow_root'] : []),
    `subtype=${FILE_SYSTEM_SUBTYPE}`,
    MOUNT_MARK,
  ].join(',');
  const whole = `-o${flags},${sourceOption(options.source)}`;
  return Buffer.byteLength(whole) <= MAX_OPTION_BYTES
    ? whole
    : `-o${flags},${sourceOption(basename(options.source))}`;
}

/** Descriptors of this process on /dev/fuse, by number. */
function fuseDescriptors(): string[] {
  return fs.readdirSync('/proc/self/fd').filter((fd) => isFuseDescriptor(fd));
}

function isFuseDescriptor(fd: string): boolean {
  try {
    return fs.readlinkSync(`/proc/self/fd/${fd}`) === FUSE_DEVICE_PATH;
  } catch {
    return false; // closed meanwhile
  }
}

function mountLibfuse(fuse: FuseNative, path: string): Promise<void> {
  const mount = () =>
    new Promise<void>((resolve, reject) => {
      fuse.mount((cause) => {
        if (!cause) return resolve();
        if (isMounted(path)) {
          return reject(mountedMeanwhile(path, { cause }));
        }
        const message = `cannot mount on ${path}: fuse-native says "${cause.message}"; libfuse's own words are seen with --foreground`;
        reject(new LuksError('DEVICE_IO', message, { cause }));
      });
    });
  // libfuse cancels its threads after an unmount. One that is cancelled in libuv's signal handler (SIGCHLD, as umount ends)
  // never gives up that handler's lock, and the main thread waits for it forever. So its threads take no signals.
  return withSignalsBlocked(mount);
}

class NativeSession implements MountSession {
  readonly mountpoint: string;
  readonly filePath: string;
  readonly connection: number;
  readonly closed: Promise<SessionEnd>;
  readonly #options: FullSessionOptions;
  readonly #fuse: FuseNative;
  readonly #counterMemory: SharedArrayBuffer;
  /** libfuse's: it is closed when the last request has been served. */
  readonly #descriptor: string;

  private constructor(
    options: FullSessionOptions,
    fuse: FuseNative,
    counterMemory: SharedArrayBuffer,
    mountpoint: string,
    descriptor: string,
    connection: number,
  ) {
    this.#options = options;
    this.#fuse = fuse;
    this.#counterMemory = counterMemory;
    this.#descriptor = descriptor;
    this.connection = connection;
    this.mountpoint = mountpoint;
    this.filePath = join(mountpoint, options.fileName);
    this.closed = new Promise((resolve) => {
      const watch = setInterval(() => {
        if (isFuseDescriptor(this.#descriptor)) return;
        clearInterval(watch);
        resolve(this.#finish());
      }, WATCH_MS);
    });
  }

  static async start(given: SessionOptions): Promise<NativeSession> {
    const options = withDefaults(given);
    const lock = await MountpointLock.take(options.mountpoint);
    try {
      requireNativeOptions(lock.mountpoint, options);
      return await NativeSession.#mount(options, lock.mountpoint.path);
    } finally {
      await lock.release();
    }
  }

  static async #mount(options: FullSessionOptions, path: string): Promise<NativeSession> {
    const Fuse = await loadFuseNative();
    const { allocateIoBuffer } = (await import(options.storeModule)) as StoreModule;
    const counterMemory = Counters.createMemory(1);
    // Who is let in, libfuse decides by its own allow_root.
    const tree = new PlainFile(options.store, describeTree(options.fileName, options));
    const operations = createOperations(
      tree,
      new Counters(counterMemory, 0),
      allocateIoBuffer(MAX_REQUEST_BYTES),
    );
    const fuse = new Fuse(path, operations, { timeout: false });
    const libfuse = libfuseOptions(options);
    fuse._fuseOptions = () => libfuse;
    // Unmounting is done by us, by hand or by whoever likes; `unmount` is left with the event loop to let go of.
    Fuse.unmount = (_mountpoint, done) => done(null);
    debug('libfuse %s', libfuse);
    const before = fuseDescriptors();
    await mountLibfuse(fuse, path);
    const descriptor = fuseDescriptors().find((fd) => !before.includes(fd))!;
    try {
      const { connection } = await findOwnMount(path, tree.root.attributes, STAT_PRECISION_NS);
      return new NativeSession(options, fuse, counterMemory, path, descriptor, connection);
    } catch (error) {
      await unmountFuse(path, 'lazy');
      throw error;
    }
  }

  get hasUnlockedKeys(): boolean {
    return hasUnlockedKeys();
  }

  activity(): Activity {
    // What is asked for between two requests is asked for while none is served.
    return { workers: 1, queueDepth: 0, ...Counters.totals(this.#counterMemory) };
  }

  async unmount({ lazy = false }: { lazy?: boolean } = {}): Promise<void> {
    await unmountFuse(this.mountpoint, lazy ? 'lazy' : 'normal');
    if (lazy) return;
    const { error } = await this.closed;
    if (error) throw error;
  }

  /** The last act; libfuse has ended its threads. */
  #finish(): SessionEnd {
    this.#fuse.unmount(() => {});
    try {
      if (!this.#options.store.isReadOnly) this.#options.store.sync();
      return {};
    } catch (error) {
      return { error: error as Error };
    }
  }
}

/** As `startSession` of the dev-fuse driver, from the main thread and by way of libfuse 2. */
export function startNativeSession(options: SessionOptions): Promise<MountSession> {
  return NativeSession.start(options);
}
