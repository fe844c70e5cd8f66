/**
 * The options that say how dear a new keyslot is to try, for every command that makes one.
 */
import { type Command, Option } from 'commander';
import type { KdfChoice } from '../crypto/kdf-choice.js';
import { wholeNumber } from './credential-options.js';

export interface PbkdfOptions {
  pbkdf?: KdfChoice['type'];
  pbkdfMemory?: number;
  pbkdfParallel?: number;
  pbkdfForceIterations?: number;
  iterTime?: number;
}

export function addPbkdfOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--pbkdf <type>', 'key derivation: argon2id (default for LUKS2), argon2i, pbkdf2').choices([
        'argon2id',
        'argon2i',
        'pbkdf2',
      ]),
    )
    .option('--pbkdf-memory <KiB>', 'memory of argon2, at most', wholeNumber)
    .option('--pbkdf-parallel <n>', 'threads of argon2', wholeNumber)
    .option('--pbkdf-force-iterations <n>', 'this cost, without measuring', wholeNumber)
    .option('--iter-time <ms>', 'how long an unlock may take; 2000 by default', wholeNumber);
}

/** What was asked for; the rest is measured or usual. */
export function pbkdfChoice(options: PbkdfOptions): Partial<KdfChoice> {
  const { pbkdf, pbkdfMemory, pbkdfParallel, pbkdfForceIterations, iterTime } = options;
  return {
    ...(pbkdf !== undefined && { type: pbkdf }),
    ...(pbkdfMemory !== undefined && { memoryKiB: pbkdfMemory }),
    ...(pbkdfParallel !== undefined && { parallel: pbkdfParallel }),
    ...(pbkdfForceIterations !== undefined && { forceIterations: pbkdfForceIterations }),
    ...(iterTime !== undefined && { iterTimeMs: iterTime }),
  };
}
