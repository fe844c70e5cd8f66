/**
 * `luksfuse write`: plaintext from standard input into the payload, without FUSE.
 */
import type { Command } from 'commander';
import { wipe } from '../bytes.js';
import { destroyKeys } from '../crypto/secret.js';
import { LuksError } from '../errors.js';
import { fillFrom } from '../stream.js';
import { locateVolume } from '../volume/locate.js';
import { requireNothingLost } from '../volume/lost-data.js';
import { Volume } from '../volume/volume.js';
import { unlockVolumeWith } from './credential.js';
import {
  addCredentialOptions,
  type CredentialOptions,
  requireFreeStdin,
  wholeNumber,
} from './credential-options.js';
import { addHeaderOptions, openHeader } from './header.js';
import { addPairingOptions, admitPairing, type PairingOptions } from './pairing.js';
import { Progress } from './progress.js';

const PIECE_BYTES = 1024 * 1024;
const STDIN = 0;

interface WriteOptions extends CredentialOptions, PairingOptions {
  offset: number;
  length?: number;
}

/** Copies up to `lengthBytes` of standard input to `offsetBytes`; all of it where that is left open. */
function copyIn(volume: Volume, offsetBytes: number, lengthBytes: number): number {
  const buffer = Volume.allocateIoBuffer(PIECE_BYTES);
  const progress = new Progress('write', lengthBytes);
  let done = 0;
  try {
    while (done < lengthBytes) {
      const count = fillFrom(STDIN, buffer.subarray(0, Math.min(buffer.length, lengthBytes - done)));
      if (count === 0) break;
      volume.write(buffer.subarray(0, count), offsetBytes + done);
      done += count;
      progress.update(done);
    }
    volume.sync();
  } finally {
    wipe(buffer);
    progress.finish();
  }
  return done;
}

/** What does not fit is an error, as for a write to a device's end, and not cut off in silence. */
function requireNoMore(endBytes: number): void {
  const rest = Buffer.alloc(1);
  if (fillFrom(STDIN, rest) === 0) return;
  wipe(rest);
  throw new LuksError(
    'DEVICE_IO',
    `the plaintext ends at byte ${endBytes}, and there is more input; it was not written`,
  );
}

async function write(payloadPath: string, options: WriteOptions): Promise<void> {
  requireFreeStdin(options, 'the plaintext');
  const located = locateVolume(payloadPath, {
    headerDevice: await openHeader(options),
    allowNullCipher: options.allowNullCipher,
  });
  try {
    const { sizeBytes } = located.layout;
    const roomBytes = sizeBytes - options.offset;
    if (roomBytes < 0 || (options.length ?? 0) > roomBytes) {
      throw new LuksError(
        'BAD_ARGUMENT',
        `bytes ${options.offset} to ${options.offset + (options.length ?? 0)} do not lie within the plaintext's ${sizeBytes}`,
      );
    }
    const keys = await unlockVolumeWith(located, options);
    try {
      requireNothingLost(located.layout, 'write');
      await admitPairing(located, keys, options);
      const volume = Volume.create(located.payload, located.layout, keys);
      try {
        copyIn(volume, options.offset, options.length ?? roomBytes);
        if (options.length === undefined) requireNoMore(sizeBytes);
      } finally {
        volume.close();
      }
    } finally {
      destroyKeys(keys);
    }
  } finally {
    located.device.close();
    located.payload.close();
  }
}

export function addWriteCommand(program: Command): void {
  const command = program
    .command('write <payload>')
    .description('standard input to the plaintext, without FUSE')
    .option('--offset <bytes>', 'begin here in the plaintext', wholeNumber, 0)
    .option('--length <bytes>', 'so many bytes; without it, all of the input', wholeNumber);
  addPairingOptions(addCredentialOptions(addHeaderOptions(command))).action(write);
}
