/**
 * What a command of the user's prints, as bytes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { wipe } from '../bytes.js';
import { LuksError } from '../errors.js';
import { requireUtf8 } from '../native/raw-names.js';

/** Gathers what `stream` gives in one Buffer; null, with all of it wiped, beyond `limitBytes`. */
async function gather(stream: AsyncIterable<Buffer>, limitBytes: number): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of stream) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > limitBytes) return null;
    }
    return Buffer.concat(chunks);
  } finally {
    wipe(...chunks);
  }
}

/**
 * The standard output of `/bin/sh -c command`, the caller's to wipe. Its standard error is ours and its
 * standard input empty: that may be a header or plaintext which is not for the command.
 * Throws BAD_ARGUMENT where it fails or gives more than `limitBytes`; messages call it `name`.
 */
export async function readCommandOutput(command: string, name: string, limitBytes: number): Promise<Buffer> {
  requireUtf8(command, name);
  const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  const refuse = (what: string, cause?: unknown) =>
    new LuksError('BAD_ARGUMENT', `${name} ${what}; check the command`, { cause });
  let output: Buffer | null = null;
  try {
    const gathering = gather(child.stdout, limitBytes).then((gathered) => {
      // Not when the command has ended: it may not end before it is killed.
      if (!gathered) throw refuse(`gives more than ${limitBytes} bytes`);
      output = gathered;
      return gathered;
    });
    const [gathered, [exitCode, signal]] = await Promise.all([gathering, ended]);
    if (exitCode !== 0) throw refuse(signal ? `was ended by ${signal}` : `failed with exit code ${exitCode}`);
    return gathered;
  } catch (error) {
    wipe(output);
    child.kill();
    throw error instanceof LuksError ? error : refuse('cannot be run', error);
  }
}
