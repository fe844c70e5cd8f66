/**
 * The options of `encrypt`, `reencrypt` and `decrypt`, and what of them cannot go together.
 */
import { type Command, Option } from 'commander';
import { LuksError } from '../errors.js';
import type { BeginOptions } from '../volume/reencrypt-begin.js';
import type { BatchOption } from './ask.js';
import { addCredentialOptions, type CredentialOptions } from './credential-options.js';
import { byteSize } from './sizes.js';

export interface ReencryptCommandOptions extends CredentialOptions, BatchOption {
  header?: string;
  resilience?: 'checksum' | 'journal' | 'none';
  resilienceHash?: string;
  direction?: 'forward' | 'backward';
  hotzoneSize?: number;
  initOnly?: boolean;
  resumeOnly?: boolean;
  json?: boolean;
}

/** What every one of the three commands takes. */
export function addReencryptOptions(command: Command): Command {
  return addCredentialOptions(command)
    .addOption(
      new Option(
        '--resilience <type>',
        'what a cut leaves whole the data that is being rewritten by: checksum (default), journal, none',
      ).choices(['checksum', 'journal', 'none']),
    )
    .option('--resilience-hash <name>', 'of the checksums; sha256 by default')
    .addOption(
      new Option('--direction <way>', 'from the start or from the end of the payload').choices([
        'forward',
        'backward',
      ]),
    )
    .option('--hotzone-size <size>', 'rewrite at most so much at a time, such as 8M', byteSize)
    .option('--init-only', 'only record in the header what is to be done')
    .option('--resume-only', 'go on with what was begun, here or by cryptsetup')
    .option('-q, --batch-mode', 'do not ask')
    .option('--json', 'print a JSON document a line: how far it is, and the result');
}

/**
 * Throws BAD_ARGUMENT for options that say how to begin where --resume-only says that it has begun.
 * @param ownNames those of the command alone, as commander has them
 */
export function checkReencryptOptions(options: ReencryptCommandOptions, ownNames: readonly string[]): void {
  if (options.initOnly && (options.resumeOnly || options.hotzoneSize !== undefined)) {
    throw new LuksError('BAD_ARGUMENT', '--init-only goes with neither --resume-only nor --hotzone-size');
  }
  if (!options.resumeOnly) return;
  const given = options as unknown as Record<string, unknown>;
  const name = ['resilience', 'resilienceHash', 'direction', ...ownNames].find(
    (each) => given[each] !== undefined,
  );
  if (name === undefined) return;
  const option = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new LuksError('BAD_ARGUMENT', `--${option} is for the beginning; leave it out with --resume-only`);
}

/** How to begin. */
export function beginOptions(options: ReencryptCommandOptions): BeginOptions {
  const { resilience, resilienceHash, direction } = options;
  if (resilienceHash !== undefined && (resilience ?? 'checksum') !== 'checksum') {
    throw new LuksError('BAD_ARGUMENT', '--resilience-hash is of checksums; leave it out, or --resilience');
  }
  return {
    ...(resilience !== undefined && { resilience }),
    ...(resilienceHash !== undefined && { resilienceHash }),
    ...(direction !== undefined && { direction }),
  };
}
