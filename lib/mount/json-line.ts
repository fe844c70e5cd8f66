/**
 * A connection on which both ends say JSON documents, one a line. Whatever bytes come, in whatever pieces: what is heard is a
 * document or the end, and the end is heard once, however it came about.
 */
import type net from 'node:net';

export interface JsonLineHandlers<Incoming> {
  onMessage: (message: Incoming) => void;
  /** The connection is gone, from here or from there; nothing more is heard. */
  onEnd?: () => void;
}

export class JsonLine<Incoming, Outgoing> {
  readonly #stream: net.Socket;
  readonly #maxCharacters: number;
  readonly #onMessage: (message: Incoming) => void;
  /** What has come of a line that is not ended. */
  #begun = '';

  /** @param maxCharacters a longer line ends the connection */
  constructor(
    stream: net.Socket,
    maxCharacters: number,
    { onMessage, onEnd = () => {} }: JsonLineHandlers<Incoming>,
  ) {
    this.#stream = stream;
    this.#maxCharacters = maxCharacters;
    this.#onMessage = onMessage;
    stream.setEncoding('utf8');
    // One that is killed with something unread resets the line. Its end is all there is to learn of that.
    stream.on('error', () => {}).on('close', onEnd);
    stream.on('data', (text: string) => this.#take(text));
  }

  #take(text: string): void {
    const [end, ...more] = text.split('\n');
    const lines = [this.#begun + end, ...more];
    this.#begun = lines.pop()!;
    for (const line of lines) if (!this.#stream.destroyed) this.#hear(line);
    if (this.#begun.length > this.#maxCharacters) this.#stream.destroy();
  }

  #hear(line: string): void {
    let message: unknown;
    try {
      if (line.length <= this.#maxCharacters) message = JSON.parse(line);
    } catch {
      // Not one of ours, or one that has lost its mind.
    }
    // All that is said is an object or a word.
    if (message) this.#onMessage(message as Incoming);
    else this.#stream.destroy();
  }

  send(message: Outgoing): void {
    if (this.#stream.writable) this.#stream.write(`${JSON.stringify(message)}\n`);
  }

  /** Ends the line when all is said. */
  close(): void {
    this.#stream.destroySoon();
  }

  /** Ends it now. */
  destroy(): void {
    this.#stream.destroy();
  }
}
