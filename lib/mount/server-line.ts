/**
 * What a supervisor and its server say to each other after the order: one JSON document a line.
 *
 * The server is `ready`, waits for `serve`, and ends by `closed`; a death without that word was none of its doing.
 */
import type net from 'node:net';
import readline from 'node:readline';
import type { OnlineOrder } from '../volume/online.js';
import type { ErrorRecord, MountInfo } from './control.js';

export type ToServer = 'serve' | 'describe' | 'drain' | OnlineOrder;

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

export class ServerLine<Incoming, Outgoing> {
  readonly #stream: net.Socket;

  /**
   * @param onMessage called with each message
   * @param onEnd the other one is gone
   */
  constructor(stream: net.Socket, onMessage: (message: Incoming) => void, onEnd: () => void) {
    this.#stream = stream;
    // One that is killed with something unread resets the line. Its end is all there is to learn of that.
    const ignore = () => {};
    stream.on('error', ignore).on('close', onEnd);
    readline
      .createInterface({ input: stream })
      .on('error', ignore)
      .on('line', (line) => this.#hear(line, onMessage));
  }

  #hear(line: string, onMessage: (message: Incoming) => void): void {
    let message: Incoming;
    try {
      message = JSON.parse(line) as Incoming;
    } catch {
      // Not one of ours, or one that has lost its mind: nothing more is heard from it.
      this.#stream.destroy();
      return;
    }
    onMessage(message);
  }

  send(message: Outgoing): void {
    if (this.#stream.writable) this.#stream.write(`${JSON.stringify(message)}\n`);
  }

  /** Ends the line when all is said. */
  close(): void {
    this.#stream.destroySoon();
  }
}
