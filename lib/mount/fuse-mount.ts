/**
 * One mount and its connection: made, settled with the kernel, and taken away again. It is there as long as its
 * descriptor is open and nobody unmounts; who reads the requests from it is not known here.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import createDebug from 'debug';
import { CachePolicy } from '../fuse/cache-policy.js';
import { Channel, cloneDevice } from '../fuse/channel.js';
import { AbortSwitch, setReadAhead } from '../fuse/connection.js';
import { shakeHands } from '../fuse/handshake.js';
import { mountFuse, unmountFuse } from '../fuse/mount-helper.js';
import type { Mountpoint } from '../fuse/mountpoint.js';
import type { NodeAttributes } from '../fuse/node-attributes.js';
import type { FullSettings } from './mount-session.js';
import { MountpointLock } from './mountpoint-lock.js';
import { findOwnMount } from './own-mount.js';

const debug = createDebug('luksfuse:mount');

interface MountRequest extends FullSettings {
  /** What /proc/mounts shows. */
  source: string;
  isReadOnly: boolean;
}

/** What another process needs to serve the same mount, beside the descriptor. */
export interface MountRecord {
  mountpoint: Mountpoint;
  filePath: string;
  /** What a dead server left unanswered can be had again. */
  hasResend: boolean;
  /** The number by which the kernel knows it; null where that was not known yet. */
  connection: number | null;
}

/** What requests are read from. */
export interface MountDescriptors {
  fuseFd: number;
  /** For reading without waiting; null where the kernel gave none. */
  promptFd: number | null;
}

export class FuseMount implements MountRecord {
  readonly mountpoint: Mountpoint;
  readonly filePath: string;
  readonly hasResend: boolean;
  readonly fuseFd: number;
  connection: number | null;
  #abortSwitch: AbortSwitch | null = null;
  /** Held until the mount has been found, or unmounted because something failed. */
  #lock: MountpointLock | null = null;

  private constructor(record: MountRecord, fuseFd: number) {
    this.mountpoint = record.mountpoint;
    this.filePath = record.filePath;
    this.hasResend = record.hasResend;
    this.connection = record.connection;
    this.fuseFd = fuseFd;
  }

  /** Mounts, and answers FUSE_INIT. Where that fails nothing is left. */
  static async make(request: MountRequest): Promise<FuseMount> {
    const lock = await MountpointLock.take(request.mountpoint);
    try {
      const mount = await FuseMount.#mountOn(lock.mountpoint, request);
      mount.#lock = lock;
      return mount;
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  static async #mountOn(mountpoint: Mountpoint, request: MountRequest): Promise<FuseMount> {
    const { path, isDirectory } = mountpoint;
    const filePath = isDirectory ? join(path, request.fileName) : path;
    const fd = await mountFuse(mountpoint, request);
    try {
      const { hasResend } = shakeHands(fd, new CachePolicy(request.cache));
      return new FuseMount({ mountpoint, filePath, hasResend, connection: null }, fd);
    } catch (error) {
      await unmountFuse(path, 'abort').catch((later: Error) => debug('%s', later.message));
      fs.closeSync(fd);
      throw error;
    }
  }

  /** The mount that another process made, and whose descriptor this one has inherited. */
  static adopt(record: MountRecord, fuseFd: number): FuseMount {
    return new FuseMount(record, fuseFd);
  }

  /**
   * Once somebody serves: finds its number, and sets what needs that.
   * @param root of what is served
   * @throws LuksError BUSY where somebody else has mounted there
   */
  async locate(root: NodeAttributes): Promise<void> {
    const { connection } = await findOwnMount(this.mountpoint.path, root);
    this.connection = connection;
    setReadAhead(connection);
    this.#abortSwitch = new AbortSwitch(connection);
    await this.#lock?.release();
  }

  get record(): MountRecord {
    const { mountpoint, filePath, hasResend, connection } = this;
    return { mountpoint, filePath, hasResend, connection };
  }

  /** Another descriptor: what is read from it and not answered fails when nobody has it any more. */
  clone(): number {
    return cloneDevice(this.fuseFd);
  }

  /** A clone for the prompt channel of one server; null where the kernel gives none. */
  findPrompt(): number | null {
    try {
      return this.clone();
    } catch (error) {
      debug('requests are answered one by one: %s', (error as Error).message);
      return null;
    }
  }

  /** Has the kernel queue again what a dead server has read and not answered, from whichever descriptor. */
  requestResend(): void {
    new Channel(this.fuseFd).requestResend();
  }

  /** BUSY while a file is open; `lazy` takes the name away at once. */
  unmount({ lazy = false }: { lazy?: boolean } = {}): Promise<void> {
    return unmountFuse(this.mountpoint.path, lazy ? 'lazy' : 'normal');
  }

  /** Takes the mount away from under its users, so that no request waits for a server that is gone. Never throws. */
  async abort(): Promise<void> {
    try {
      this.#abortSwitch?.press();
      await unmountFuse(this.mountpoint.path, 'abort');
    } catch (error) {
      debug('aborting: %s', (error as Error).message);
    }
    await this.#lock?.release();
  }

  close(): void {
    this.#abortSwitch?.close();
    fs.closeSync(this.fuseFd);
  }
}
