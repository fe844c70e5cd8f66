/**
 * One mount and its connection: made, settled with the kernel, and taken away again. It is there as long as its
 * descriptor is open and nobody unmounts; who reads the requests from it is not known here.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import createDebug from 'debug';
import { CachePolicy } from '../fuse/cache-policy.js';
import { cloneDevice } from '../fuse/channel.js';
import { abortConnection, connectionNumber, setReadAhead } from '../fuse/connection.js';
import { shakeHands } from '../fuse/handshake.js';
import { mountFuse, unmountFuse } from '../fuse/mount-helper.js';
import { type Mountpoint, requireMountpoint } from '../fuse/mountpoint.js';
import type { FullSettings } from './mount-session.js';

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
  /** There is a descriptor that does not wait. */
  hasPrompt: boolean;
}

/** What requests are read from. */
export interface MountDescriptors {
  fuseFd: number;
  /** Does not wait for a request; null where the kernel gave none. */
  promptFd: number | null;
}

function findPrompt(fd: number): number | null {
  try {
    return cloneDevice(fd, { waits: false });
  } catch (error) {
    debug('requests are answered one by one: %s', (error as Error).message);
    return null;
  }
}

export class FuseMount implements MountRecord {
  readonly mountpoint: Mountpoint;
  readonly filePath: string;
  readonly hasResend: boolean;
  readonly descriptors: MountDescriptors;
  #connection: number | null = null;

  private constructor(record: Omit<MountRecord, 'hasPrompt'>, descriptors: MountDescriptors) {
    this.mountpoint = record.mountpoint;
    this.filePath = record.filePath;
    this.hasResend = record.hasResend;
    this.descriptors = descriptors;
  }

  /** Mounts, and answers FUSE_INIT. Where that fails nothing is left. */
  static async make(request: MountRequest): Promise<FuseMount> {
    const mountpoint = requireMountpoint(request.mountpoint);
    const { path, isDirectory } = mountpoint;
    const filePath = isDirectory ? join(path, request.fileName) : path;
    const fd = await mountFuse(mountpoint, request);
    try {
      const { hasResend } = shakeHands(fd, new CachePolicy(request.cache));
      const descriptors = { fuseFd: fd, promptFd: findPrompt(fd) };
      return new FuseMount({ mountpoint, filePath, hasResend }, descriptors);
    } catch (error) {
      await unmountFuse(path, 'abort').catch((later: Error) => debug('%s', later.message));
      fs.closeSync(fd);
      throw error;
    }
  }

  /** The mount that another process made, and whose descriptors this one has inherited. */
  static adopt(record: MountRecord, fuseFd: number, promptFd: number): FuseMount {
    return new FuseMount(record, { fuseFd, promptFd: record.hasPrompt ? promptFd : null });
  }

  get hasPrompt(): boolean {
    return this.descriptors.promptFd !== null;
  }

  get record(): MountRecord {
    const { mountpoint, filePath, hasResend, hasPrompt } = this;
    return { mountpoint, filePath, hasResend, hasPrompt };
  }

  /** Other descriptors: what is read from them and not answered fails with the process that has them. */
  cloneDescriptors(): MountDescriptors {
    const { fuseFd } = this.descriptors;
    return {
      fuseFd: cloneDevice(fuseFd, { waits: true }),
      promptFd: this.hasPrompt ? cloneDevice(fuseFd, { waits: false }) : null,
    };
  }

  /** Sets what can be set only once somebody answers. */
  async tune(): Promise<void> {
    this.#connection = await connectionNumber(this.mountpoint.path);
    await setReadAhead(this.#connection);
  }

  /** BUSY while a file is open; `lazy` takes the name away at once. */
  unmount({ lazy = false }: { lazy?: boolean } = {}): Promise<void> {
    return unmountFuse(this.mountpoint.path, lazy ? 'lazy' : 'normal');
  }

  /** Takes the mount away from under its users, so that no request waits for a server that is gone. Never throws. */
  async abort(): Promise<void> {
    try {
      if (this.#connection !== null) await abortConnection(this.#connection);
      await unmountFuse(this.mountpoint.path, 'abort');
    } catch (error) {
      debug('aborting: %s', (error as Error).message);
    }
  }

  close(): void {
    const { fuseFd, promptFd } = this.descriptors;
    fs.closeSync(fuseFd);
    if (promptFd !== null) fs.closeSync(promptFd);
  }
}
