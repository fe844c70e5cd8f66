/**
 * Questions to the person at the terminal: a yes, and a new passphrase.
 */
import fs from 'node:fs';
import { basename } from 'node:path';
import { wipe } from '../bytes.js';
import { LuksError } from '../errors.js';
import { readKeySource } from '../keysource/source.js';
import { fileSource } from './credential-options.js';
import { findStdinLine, readStdinLine } from './stdin-line.js';
import { askPassphrase } from './terminal.js';

export interface BatchOption {
  batchMode?: boolean;
}

/**
 * Returns when the person types YES, or with --batch-mode at once. Throws BAD_ARGUMENT on anything else, and where
 * there is no terminal to ask on.
 */
export function confirm(question: string, { batchMode }: BatchOption): void {
  if (batchMode) return;
  if (!process.stdin.isTTY) {
    throw new LuksError('BAD_ARGUMENT', `${question}, and there is no terminal to ask on; give --batch-mode`);
  }
  fs.writeSync(2, `${question}.\nAre you sure? Type YES: `);
  const answer = findStdinLine()?.toString('utf8').trim();
  if (answer !== 'YES') throw new LuksError('BAD_ARGUMENT', 'not confirmed; nothing was changed');
}

/** A new passphrase: all of a key file, typed twice, or the next line of a standard input that is no terminal. */
export async function readNewPassphrase(path: string, keyFile: string | undefined): Promise<Buffer> {
  if (keyFile !== undefined) return readKeySource(fileSource(keyFile), basename(path));
  if (!process.stdin.isTTY) return readStdinLine();
  const first = await askPassphrase(`Enter new passphrase for ${path}: `);
  const second = await askPassphrase('Enter it again: ');
  const isSame = first.equals(second);
  wipe(second);
  if (isSame) return first;
  wipe(first);
  throw new LuksError('BAD_ARGUMENT', 'the two passphrases differ; nothing was changed');
}
