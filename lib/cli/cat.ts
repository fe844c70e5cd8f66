/**
 * `luksfuse cat`: the plaintext to standard output, without FUSE.
 */
import type { Command } from 'commander';
import { LuksError } from '../errors.js';
import type { VolumeLayout } from '../volume/layout.js';
import { locateVolume } from '../volume/locate.js';
import { findLoss } from '../volume/lost-data.js';
import { Volume } from '../volume/volume.js';
import { unlockVolumeWith } from './credential.js';
import { addCredentialOptions, type CredentialOptions, wholeNumber } from './credential-options.js';
import { addHeaderOptions, openHeader } from './header.js';
import { warn, writeOut } from './output.js';
import { admitPairing } from './pairing.js';
import { Progress } from './progress.js';

const PIECE_BYTES = 1024 * 1024;

interface CatOptions extends CredentialOptions {
  offset: number;
  length?: number;
  cipher?: string;
}

function copyOut(volume: Volume, offsetBytes: number, endBytes: number): void {
  const buffer = Volume.allocateIoBuffer(Math.min(PIECE_BYTES, endBytes - offsetBytes));
  const progress = new Progress('cat', endBytes - offsetBytes);
  try {
    for (let at = offsetBytes; at < endBytes; ) {
      const count = volume.read(buffer.subarray(0, Math.min(buffer.length, endBytes - at)), at);
      writeOut(buffer.subarray(0, count));
      at += count;
      progress.update(at - offsetBytes);
    }
  } finally {
    buffer.fill(0);
    progress.finish();
  }
}

/** `layout` with another cipher than the header names. */
function decryptedBy(layout: VolumeLayout, encryption: string): VolumeLayout {
  const segments = layout.segments.map((one) => (one.encryption === null ? one : { ...one, encryption }));
  return { ...layout, segments };
}

async function cat(payloadPath: string, options: CatOptions): Promise<void> {
  const located = locateVolume(payloadPath, {
    headerDevice: await openHeader(options),
    allowNullCipher: options.allowNullCipher,
    isReadOnly: true,
  });
  try {
    const { sizeBytes } = located.layout;
    const endBytes = options.length === undefined ? sizeBytes : options.offset + options.length;
    if (options.offset > sizeBytes || endBytes > sizeBytes) {
      throw new LuksError(
        'BAD_ARGUMENT',
        `bytes ${options.offset} to ${endBytes} do not lie within the plaintext's ${sizeBytes}`,
      );
    }
    const keys = await unlockVolumeWith(located, options);
    await admitPairing(located, keys, {});
    const loss = findLoss(located.layout);
    if (loss) warn(loss);
    const layout = options.cipher ? decryptedBy(located.layout, options.cipher) : located.layout;
    const volume = Volume.create(located.payload, layout, keys);
    try {
      if (endBytes > options.offset) copyOut(volume, options.offset, endBytes);
    } finally {
      volume.close();
    }
  } finally {
    located.device.close();
    located.payload.close();
  }
}

export function addCatCommand(program: Command): void {
  const command = program
    .command('cat <payload>')
    .description('plaintext to standard output, without FUSE')
    .option('--offset <bytes>', 'begin here in the plaintext', wholeNumber, 0)
    .option('--length <bytes>', 'so many bytes; without it, up to the end', wholeNumber)
    .option('-c, --cipher <spec>', 'decrypt by this cipher, whatever the header names');
  addCredentialOptions(addHeaderOptions(command)).action(cat);
}
