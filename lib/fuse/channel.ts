/**
 * The descriptor of /dev/fuse: one read(2) is one request, one write(2) one answer. Both block the thread.
 * Knows the errors of fs/fuse/dev.c, nothing of what the bytes mean.
 */
import fs from 'node:fs';
import { isSystemError, LuksError } from '../errors.js';
import { ioctlSync, setWaiting } from '../native/file.js';
import { readInto, tryRead, writeFrom } from '../native/transfer.js';
import { sleepSync } from '../sleep.js';
import { FUSE_DEV_IOC_CLONE, FUSE_NOTIFY_RESEND, fuse_out_header } from './abi.js';
import type { Frame } from './wire.js';

export const FUSE_DEVICE_PATH = '/dev/fuse';

/** Reading again is all there is to do: EINTR a signal, ENOENT the request was interrupted before it was read. */
const READ_AGAIN = new Set(['EINTR', 'ENOENT']);
/** Longer than the kernel takes to end a connection (fuse_abort_conn): it does that under its spin locks. */
const ENDING_MS = 20;
/** ENOENT: the caller was killed and waits no more. ENODEV: unmounted meanwhile, as the next read will say. */
const NOT_WAITED_FOR = new Set(['ENOENT', 'ENODEV', 'ECONNABORTED']);

/**
 * Another descriptor on the connection of `fd`. What was read from it and not answered fails with ECONNABORTED when it is
 * closed, which the death of its only process does too.
 */
export function cloneDevice(fd: number): number {
  const clone = fs.openSync(FUSE_DEVICE_PATH, 'r+');
  try {
    ioctlSync(clone, FUSE_DEV_IOC_CLONE, new Uint32Array([fd]) as unknown as Uint8Array);
  } catch (error) {
    fs.closeSync(clone);
    throw error;
  }
  return clone;
}

export class Channel {
  readonly #fd: number;

  /** @param fd whoever opened it closes it. One descriptor serves all threads as well as a clone for each. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** A channel for `receiveQueued`. `fd` must be handed to no other process from here on (`setWaiting`). */
  static withoutWaiting(fd: number): Channel {
    setWaiting(fd, false);
    return new Channel(fd);
  }

  /** Waits for a request and reads it to the frame's `requestOffset`. Returns its bytes; null once unmounted. */
  receive({ memory, requestOffset }: Frame): number | null {
    for (let isEnding = false; ; ) {
      try {
        return readInto(this.#fd, memory, requestOffset, memory.length - requestOffset, null);
      } catch (error) {
        if (!isSystemError(error)) throw error;
        if (error.code === 'ENODEV') return null;
        if (error.code === 'EAGAIN') {
          setWaiting(this.#fd, true);
        } else if (error.code === 'ECONNABORTED') {
          if (isEnding) {
            throw new LuksError('DEVICE_IO', 'the kernel has aborted the FUSE connection', { cause: error });
          }
          // A read that has just taken a request, such as the RELEASE of the last file, gets this too when an unmount ends
          // the connection (fuse_dev_do_read). The next read tells the two apart.
          isEnding = true;
          sleepSync(ENDING_MS);
        } else if (!READ_AGAIN.has(error.code)) {
          throw error;
        }
      }
    }
  }

  /**
   * Reads a request that is queued already, on a channel `withoutWaiting`. Returns its bytes; 0 where there is none.
   * Whatever else is the matter, the next `receive` finds it too.
   */
  receiveQueued({ memory, requestOffset }: Frame): number {
    return tryRead(this.#fd, memory, requestOffset, memory.length - requestOffset);
  }

  /** Has the kernel queue again what was read from this descriptor and not answered. */
  requestResend(): void {
    const header = new Int32Array(fuse_out_header.SIZE / 4);
    header[fuse_out_header.len / 4] = fuse_out_header.SIZE;
    header[fuse_out_header.error / 4] = FUSE_NOTIFY_RESEND;
    fs.writeSync(this.#fd, header);
  }

  /** Sends the answer of `replyBytes` from the frame's `replyOffset`. */
  send({ memory, replyOffset }: Frame, replyBytes: number): void {
    try {
      writeFrom(this.#fd, memory, replyOffset, replyBytes, null);
    } catch (error) {
      if (isSystemError(error) && NOT_WAITED_FOR.has(error.code)) return;
      throw error;
    }
  }
}
