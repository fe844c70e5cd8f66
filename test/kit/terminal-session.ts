/**
 * A shell command on a terminal of its own (a pty made by script(1)), with somebody who types.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mustRun, TOOL_PATH } from './run.js';

const PATIENCE_MS = 20_000;

export class TerminalSession {
  readonly #child: ChildProcess;
  readonly #chunks: Buffer[] = [];
  readonly #ended: Promise<unknown[]>;
  #seen = 0;

  /** Starts `command`, a line of shell. The terminal echoes what is typed until somebody turns that off. */
  constructor(command: string) {
    // What follows the first line of output is the command's; the first one is the terminal's name.
    const args = ['-q', '-f', '-e', '-E', 'always', '-c', `tty; ${command}`, '/dev/null'];
    const env = { PATH: TOOL_PATH, LC_ALL: 'C.UTF-8', TERM: 'dumb' };
    this.#child = spawn('script', args, { env, stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout!.on('data', (chunk: Buffer) => this.#chunks.push(chunk));
    this.#ended = once(this.#child, 'close');
  }

  /** All that was shown so far. */
  get shown(): string {
    return Buffer.concat(this.#chunks).toString();
  }

  /** Waits until `text` is shown after what was waited for before. */
  async expect(text: string): Promise<void> {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      const at = this.shown.indexOf(text, this.#seen);
      if (at >= 0) {
        this.#seen = at + text.length;
        return;
      }
      if (Date.now() > end || this.#child.exitCode !== null) {
        this.#child.kill('SIGKILL');
        throw new Error(`the terminal does not show ${JSON.stringify(text)}: ${JSON.stringify(this.shown)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  type(keys: string | Uint8Array): void {
    this.#child.stdin!.write(keys);
  }

  /** What stty(1) says of the terminal right now. */
  async settings(): Promise<string> {
    const device = /^\S+/.exec(this.shown)?.[0] ?? '';
    return (await mustRun('stty', ['-F', device, '-a'])).stdout.toString();
  }

  /** Waits for the command's end; resolves to its exit code. */
  async end(): Promise<number | null> {
    const [code] = await this.#ended;
    return code as number | null;
  }
}
