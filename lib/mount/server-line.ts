/**
 * What a supervisor and its server say to each other after the order, by a JsonLine.
 *
 * The server is `ready`, waits for `serve`, and ends by `closed`; a death without that word was none of its doing.
 */
import type { OnlineOrder } from '../volume/online.js';
import type { ErrorRecord, MountInfo } from './control.js';

/** Of a message: what a mount is, with paths and sentences. */
export const MAX_MESSAGE_CHARACTERS = 1024 * 1024;

export type ToServer =
  /** With the reencryption as it is ordered by then. */
  | { serve: { online: OnlineOrder | null } }
  | 'describe'
  | 'drain'
  | OnlineOrder
  /** Of the mount that it serves, once that is known. */
  | { connection: number };

export type FromServer =
  | { ready: MountInfo }
  | { mount: MountInfo }
  | { drained: true }
  /** The reencryption is done, and only the key of this digest is still of use, or none. */
  | { reencrypted: Reencrypted }
  /** The mount is gone, the payload synced and closed, or not. */
  | { closed: { error: ErrorRecord | null } }
  /** It could not start. */
  | { error: ErrorRecord };

export interface Reencrypted {
  digest: number | null;
  /** The server still serves by both keys: one that starts now would not. */
  isOutdated: boolean;
}
