/**
 * The options about the pairing of header and payload, and what happens when it does not hold.
 */
import type { Command } from 'commander';
import type { VolumeKeys } from '../crypto/secret.js';
import { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { findMispairing, recordPairing } from '../keyslot/pairing.js';
import type { LocatedVolume } from '../volume/locate.js';
import { warn } from './output.js';

export interface PairingOptions {
  ignorePairing?: boolean;
  pair?: boolean;
}

export function addPairingOptions(command: Command): Command {
  return command
    .option('--pair', 'record in the header (LUKS2) that it belongs to this payload')
    .option('--ignore-pairing', 'go on where the header was paired with another payload');
}

/**
 * Lets a volume through whose header was paired with this payload, or with none. Else a volume that could be written
 * is refused, and for one that is only read a warning is printed.
 */
export async function admitPairing(
  { device, header, payload, layout }: LocatedVolume,
  keys: VolumeKeys,
  { pair, ignorePairing }: PairingOptions,
): Promise<void> {
  // A reencryption has taken the pairing away, and the end of it brings another.
  if (layout.reencryption) {
    if (!pair) return;
    const { mode } = layout.reencryption;
    throw new LuksError(
      'UNSUPPORTED',
      `a pairing cannot be recorded before the reencryption is finished; leave --pair out, or first: luksfuse ${mode} --resume-only`,
    );
  }
  const volumeKey = keys.get(layout.segments[0]!.digest!)!.bytes;
  if (pair) {
    if (header.version === 1)
      throw new LuksError('BAD_ARGUMENT', 'LUKS1 has no place for a pairing; leave --pair out');
    if (!(device instanceof Device))
      throw new LuksError('BAD_ARGUMENT', `--pair writes to the header, and ${device.path} is no file of it`);
    const writable = Device.open(device.path, { isReadOnly: false, isShared: true });
    try {
      await recordPairing(writable, volumeKey, payload.sizeBytes);
    } finally {
      writable.close();
    }
    return;
  }
  const problem = findMispairing(header, volumeKey, payload);
  if (!problem || ignorePairing) return;
  const cure = 'check the two; --pair records this payload, --ignore-pairing goes on without';
  if (!payload.isReadOnly) throw new LuksError('BAD_ARGUMENT', `${problem}; ${cure}`);
  warn(problem);
}
