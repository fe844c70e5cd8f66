/**
 * A progress line on standard error, drawn only where that is a terminal.
 */
import { formatBytes } from '../bytes.js';

const REDRAW_MS = 200;

export class Progress {
  readonly #what: string;
  readonly #totalBytes: number;
  readonly #startMs = Date.now();
  readonly #isShown = process.stderr.isTTY === true;
  #drawnMs = 0;

  constructor(what: string, totalBytes: number) {
    this.#what = what;
    this.#totalBytes = totalBytes;
  }

  update(doneBytes: number): void {
    const now = Date.now();
    if (!this.#isShown || now - this.#drawnMs < REDRAW_MS) return;
    this.#drawnMs = now;
    const seconds = Math.max(0.001, (now - this.#startMs) / 1000);
    const leftSeconds = Math.round(((this.#totalBytes - doneBytes) / doneBytes) * seconds);
    const percent = Math.floor((doneBytes / this.#totalBytes) * 100);
    const speed = formatBytes(Math.round(doneBytes / seconds));
    process.stderr.write(
      `\r${this.#what}: ${percent}%  ${formatBytes(doneBytes)}  ${speed}/s  ${leftSeconds} s left \x1b[K`,
    );
  }

  /** Takes the line away. */
  finish(): void {
    if (this.#drawnMs > 0) process.stderr.write('\r\x1b[K');
  }
}
