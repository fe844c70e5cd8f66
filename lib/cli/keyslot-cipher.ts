/**
 * The options about the cipher that a new keyslot's area is encrypted with.
 */
import type { Command } from 'commander';
import { wholeNumber } from './credential-options.js';
import { keySizeBytes } from './sizes.js';

export interface KeyslotCipherOptions {
  keyslotCipher?: string;
  keyslotKeySize?: number;
}

export function addKeyslotCipherOptions(command: Command): Command {
  return command
    .option('--keyslot-cipher <spec>', 'cipher of the new keyslot (LUKS2); that of the payload by default')
    .option('--keyslot-key-size <bits>', 'and the size of its key', wholeNumber);
}

/** What was asked for. */
export function keyslotCipher(options: KeyslotCipherOptions): { encryption?: string; keySizeBytes?: number } {
  const { keyslotCipher: encryption, keyslotKeySize } = options;
  return {
    ...(encryption !== undefined && { encryption }),
    ...(keyslotKeySize !== undefined && {
      keySizeBytes: keySizeBytes('--keyslot-key-size', keyslotKeySize),
    }),
  };
}
