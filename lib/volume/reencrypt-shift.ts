/**
 * Runs an encryption that moves its data, from where the header says it is to its end or to where it is told to stop. One
 * step: the header says which stretch is hot, it is written, encrypted, to its new place and synced, the header says that it
 * is done. Where a step reads from nothing is written before the step is recorded, so that a cut is made good by doing it
 * again. Knows no passphrases.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import createDebug from 'debug';
import type { VolumeKeys } from '../crypto/secret.js';
import type { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { applySteps, changeHeader, planWipe, type WriteStep } from '../format/change.js';
import { readHeader } from '../format/header.js';
import { type LuksHeader, volumeSegments } from '../format/model.js';
import { withoutReencryption } from '../format/reencryption.js';
import { hasShiftedParts, type ShiftedEncryption, withShiftedParts } from '../format/reencryption-shift.js';
import { planMetadata } from '../format/write.js';
import { withPairing } from '../keyslot/pairing.js';
import type { Unlock } from '../keyslot/unlock.js';
import type { RunOptions } from './reencrypt.js';
import { requireReencryptionKeys } from './reencrypt-open.js';
import {
  coolShifted,
  heatShifted,
  hotShiftedExtent,
  hotSourceBytes,
  type ShiftState,
  shiftedPartsOf,
} from './reencrypt-shift-parts.js';
import { Zone } from './reencrypt-zone.js';

const debug = createDebug('luksfuse:reencrypt');
const WIPE_BYTES = 4 * 1024 * 1024;

/** Everything a shifted encryption works on; all of it stays the caller's. */
export interface ShiftTarget {
  /** Header and data. */
  device: Device;
  shifted: ShiftedEncryption;
  state: ShiftState;
  /** By digest: the one. */
  keys: VolumeKeys;
}

/** How far it is when nothing is done. */
export function beginningOf({ shiftBytes, previous, moved }: ShiftedEncryption): ShiftState {
  const totalBytes = previous.sizeBytes as number;
  return { totalBytes, shiftBytes, movedOffsetBytes: moved.offsetBytes, doneBytes: 0, hotBytes: 0 };
}

/** The one state that a row of segments can mean; `hasShiftedParts` tells whether it does. */
function possibleState(header: LuksHeader, shifted: ShiftedEncryption): ShiftState {
  const beginning = beginningOf(shifted);
  const row = volumeSegments(header);
  const hot = row.find(({ flags }) => flags.includes('in-reencryption'));
  const done = row.find(({ type, flags }) => type === 'crypt' && flags.length === 0);
  const doneBytes = done?.sizeBytes === 'dynamic' ? beginning.totalBytes : (done?.sizeBytes ?? 0);
  const hotBytes = hot && hot.sizeBytes !== 'dynamic' ? hot.sizeBytes : 0;
  return { ...beginning, doneBytes, hotBytes };
}

/** How far it is. Throws UNSUPPORTED for a row of segments that it cannot have led to, BAD_ARGUMENT for a device cut off. */
export function requireShiftState(
  header: LuksHeader,
  shifted: ShiftedEncryption,
  device: Device,
): ShiftState {
  const { moved } = shifted;
  if (moved.offsetBytes + (moved.sizeBytes as number) > device.sizeBytes) {
    throw new LuksError('BAD_ARGUMENT', `${device.path} is shorter than when its encryption began`);
  }
  const state = possibleState(header, shifted);
  const { doneBytes, hotBytes, totalBytes } = state;
  const isStep = hotBytes === 0 || heatShifted({ ...state, hotBytes: 0 }).hotBytes === hotBytes;
  const isWithin = doneBytes + hotBytes <= totalBytes;
  if (isStep && isWithin && hasShiftedParts(header, shifted, shiftedPartsOf(state))) return state;
  throw new LuksError(
    'UNSUPPORTED',
    'the segments of the header do not tell how far its encryption is; try: cryptsetup reencrypt --resume-only',
  );
}

/**
 * The unfinished shifted encryption of the header on `device`, ready to be run. The keys are the caller's to destroy.
 * Throws BAD_PASSPHRASE, UNSUPPORTED, HEADER_CORRUPT.
 */
export async function openShiftedEncryption(
  device: Device,
  shifted: ShiftedEncryption,
  unlock: Unlock,
): Promise<ShiftTarget> {
  const header = readHeader(device);
  const state = requireShiftState(header, shifted, device);
  // With all done it is still to be believed which place is to be wiped.
  const keys = await requireReencryptionKeys(device, header, shifted, unlock, false);
  return { device, shifted, state, keys };
}

class ShiftRun {
  readonly #target: ShiftTarget;
  readonly #zone: Zone;
  #state: ShiftState;

  constructor(target: ShiftTarget) {
    const { device, shifted, keys, state } = target;
    const { encryption, sectorSizeBytes, offsetBytes } = shifted.final;
    this.#target = target;
    this.#state = state;
    const shape = {
      dataOffsetBytes: offsetBytes,
      previous: null,
      final: { encryption: encryption!, sectorSizeBytes },
      hash: '',
      blockSizeBytes: sectorSizeBytes,
    };
    this.#zone = new Zone(device, shape, { previous: null, final: keys.get(shifted.finalDigest)!.bytes });
  }

  get state(): ShiftState {
    return this.#state;
  }

  close(): void {
    this.#zone.destroy();
  }

  /** One step, or the rest of one that a cut left; done again it gives the same. */
  async step(): Promise<void> {
    const hot = this.#state.hotBytes > 0 ? this.#state : heatShifted(this.#state);
    if (hot !== this.#state) await this.#record(hot);
    const extent = hotShiftedExtent(hot);
    debug('move %d bytes at %d of the data', extent.sizeBytes, extent.offsetBytes);
    const { device } = this.#target;
    this.#zone.restoreRange(extent, device, hotSourceBytes(hot));
    device.sync();
    await this.#record(coolShifted(hot));
  }

  /** The head of the data, which still lies at the device's end as plaintext, is wiped before the header ends it. */
  async finish(): Promise<void> {
    const { device, shifted, keys } = this.#target;
    await this.#change((header) => {
      this.#wipeHead();
      const ended = withoutReencryption(header, shifted);
      const paired = withPairing(ended, keys.get(shifted.finalDigest)!.bytes, device.sizeBytes);
      return [...planMetadata(header, paired), ...planWipe('area of the encryption', shifted.area)];
    });
  }

  /** Piece by piece: how long it is the header says. */
  #wipeHead(): void {
    const { device, shifted } = this.#target;
    const { offsetBytes, sizeBytes } = shifted.moved;
    const endBytes = offsetBytes + (sizeBytes as number);
    for (let at = offsetBytes; at < endBytes; at += WIPE_BYTES) {
      const piece = { offsetBytes: at, sizeBytes: Math.min(WIPE_BYTES, endBytes - at) };
      applySteps(device, planWipe('moved head of the data', piece));
    }
  }

  async #record(state: ShiftState): Promise<void> {
    const { shifted } = this.#target;
    await this.#change((header) =>
      planMetadata(header, withShiftedParts(header, shifted, shiftedPartsOf(state))),
    );
    this.#state = state;
  }

  #change(plan: (header: LuksHeader) => WriteStep[]): Promise<void> {
    const { device, shifted } = this.#target;
    return changeHeader(device, (header) => {
      if (hasShiftedParts(header, shifted, shiftedPartsOf(this.#state))) {
        return { steps: plan(header), result: undefined };
      }
      throw new LuksError('BUSY', 'another program goes on with this encryption; let it finish');
    });
  }
}

/**
 * Goes on with the encryption and resolves to how far it is: all of it, or less where `isStopped` said so.
 * Throws BUSY, DEVICE_IO; the state on storage can be gone on from whatever happens.
 */
export async function runShiftedEncryption(
  target: ShiftTarget,
  { onProgress = () => {}, isStopped = () => false }: Omit<RunOptions, 'zoneBytes'> = {},
): Promise<ShiftState> {
  const run = new ShiftRun(target);
  try {
    while (run.state.doneBytes < run.state.totalBytes && !isStopped()) {
      onProgress(run.state.doneBytes, run.state.totalBytes);
      await run.step();
      await nextTurn(); // for signals to be heard
    }
    onProgress(run.state.doneBytes, run.state.totalBytes);
    if (run.state.doneBytes === run.state.totalBytes) await run.finish();
    return run.state;
  } finally {
    run.close();
  }
}
