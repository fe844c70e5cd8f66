/**
 * Runs a decryption that gives back the room of its header, from where the header, in a file of its own, says it is to its
 * end or to where it is told to stop. What is behind the head of the data is written, plain, to its new place and synced
 * before the header says that it is done; where a step reads from nothing is written before, so a cut is made good by doing
 * it again. The head, which is at its place, is protected as in any reencryption. Knows no passphrases.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import createDebug from 'debug';
import type { VolumeKeys } from '../crypto/secret.js';
import type { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { changeHeader, planKeyslotWipes, type WriteStep } from '../format/change.js';
import { readHeader } from '../format/header.js';
import { type LuksHeader, volumeSegments } from '../format/model.js';
import { endingKeyslots, withoutReencryption } from '../format/reencryption.js';
import { findGiveback, type Giveback, isUnmoved } from '../format/reencryption-giveback.js';
import { hasShiftedParts, withShiftedParts } from '../format/reencryption-shift.js';
import { planMetadata } from '../format/write.js';
import type { Unlock } from '../keyslot/unlock.js';
import { wipePayload } from './noise.js';
import { DEFAULT_ZONE_BYTES, type RunOptions, requireWhole } from './reencrypt.js';
import { moveHead } from './reencrypt-giveback-head.js';
import {
  coolGiveback,
  type GivebackState,
  givebackPartsOf,
  heatGiveback,
  hotGivebackExtent,
  isHeadsTurn,
} from './reencrypt-giveback-parts.js';
import { dataBytes, requireReencryptionKeys } from './reencrypt-open.js';
import { planProtection, protectableBytes, recoverZone } from './reencrypt-protection.js';
import { ZoneTeam } from './reencrypt-team.js';

const debug = createDebug('luksfuse:reencrypt');

/** Everything such a decryption works on; all of it stays the caller's. */
export interface GivebackTarget {
  /** The header's own. */
  device: Device;
  payload: Device;
  giveback: Giveback;
  state: GivebackState;
  /** By digest: the one; none where all is done and no keyslot opens any more. */
  keys: VolumeKeys;
}

/** How far it is when nothing is done. */
export function givebackBeginning({ shiftBytes, moved }: Giveback, totalBytes: number): GivebackState {
  return { totalBytes, shiftBytes, headBytes: moved.sizeBytes as number, doneBytes: 0, hotBytes: 0 };
}

/** The one state that a row of segments can mean; `hasShiftedParts` tells whether it does. */
function possibleState(header: LuksHeader, giveback: Giveback, totalBytes: number): GivebackState {
  const beginning = givebackBeginning(giveback, totalBytes);
  const row = volumeSegments(header);
  const restBytes = totalBytes - beginning.headBytes;
  const hot = row.find(({ flags }) => flags.includes('in-reencryption'));
  const hotBytes = hot && hot.sizeBytes !== 'dynamic' ? hot.sizeBytes : 0;
  if (hot?.offsetBytes === 0) return { ...beginning, doneBytes: restBytes, hotBytes };
  const done = row.find(({ type, flags }) => type === 'linear' && flags.length === 0);
  if (done?.offsetBytes === 0) return { ...beginning, doneBytes: totalBytes };
  const doneBytes = done?.sizeBytes === 'dynamic' ? restBytes : (done?.sizeBytes ?? 0);
  return { ...beginning, doneBytes, hotBytes };
}

/** How far it is. Throws UNSUPPORTED for a row of segments that it cannot have led to, BAD_ARGUMENT for another payload. */
export function requireGivebackState(header: LuksHeader, giveback: Giveback, payload: Device): GivebackState {
  const { previous, moved, shiftBytes } = giveback;
  const totalBytes = dataBytes(payload, previous, previous.sectorSizeBytes);
  const state = possibleState(header, giveback, totalBytes);
  const { doneBytes, hotBytes, headBytes } = state;
  const isWhole = [doneBytes, hotBytes].every((bytes) => bytes % previous.sectorSizeBytes === 0);
  const isStep = hotBytes === 0 || hotBytes <= (isHeadsTurn(state) ? headBytes : shiftBytes);
  const { offsetBytes } = hotGivebackExtent(state);
  const isWithin = headBytes <= totalBytes && (hotBytes === 0 || offsetBytes + hotBytes <= totalBytes);
  const isMoved = !isUnmoved(header) || doneBytes + hotBytes === 0;
  const isProtected = (moved.sizeBytes as number) <= protectableBytes(giveback);
  const isSound = isWhole && isStep && isWithin && isMoved && isProtected;
  if (isSound && hasShiftedParts(header, giveback, givebackPartsOf(state))) return state;
  throw new LuksError(
    'UNSUPPORTED',
    'the segments of the header do not tell how far its decryption is; is the payload the right one? ' +
      'If so: cryptsetup reencrypt --resume-only',
  );
}

/**
 * The unfinished decryption of `payload` that the header on `device` records, ready to be run. The keys are the caller's to
 * destroy. Throws BAD_PASSPHRASE, UNSUPPORTED, HEADER_CORRUPT.
 */
export async function openGiveback(device: Device, payload: Device, unlock: Unlock): Promise<GivebackTarget> {
  const header = readHeader(device);
  const giveback = findGiveback(header);
  if (!giveback) throw new LuksError('BAD_ARGUMENT', 'the header has no decryption that moves its data');
  const state = requireGivebackState(header, giveback, payload);
  const isDone = state.doneBytes === state.totalBytes;
  const keys = await requireReencryptionKeys(device, header, giveback, unlock, false).catch((error) => {
    // cryptsetup has wiped the keys before it says so, and before them what is to be wiped without a header to believe.
    if (isDone && error instanceof LuksError && error.code === 'BAD_PASSPHRASE') return new Map();
    throw error;
  });
  return { device, payload, giveback, state, keys };
}

class GivebackRun {
  readonly #target: GivebackTarget;
  readonly #team: ZoneTeam | null;
  readonly #givenUp: RunOptions['givenUp'];
  #state: GivebackState;

  constructor(target: GivebackTarget, givenUp: RunOptions['givenUp']) {
    const { payload, giveback, keys, state } = target;
    const { previous, previousDigest, hash, blockSizeBytes } = giveback;
    const { encryption, sectorSizeBytes } = previous;
    const key = keys.get(previousDigest);
    const shape = {
      dataOffsetBytes: 0,
      previous: { encryption: encryption!, sectorSizeBytes },
      final: null,
      hash,
      blockSizeBytes,
    };
    this.#target = target;
    this.#givenUp = givenUp;
    this.#state = state;
    this.#team = key ? new ZoneTeam(payload, shape, { previous: key, final: null }) : null;
  }

  get state(): GivebackState {
    return this.#state;
  }

  async close(): Promise<void> {
    await this.#team?.close();
  }

  /** One step, or the rest of one that a cut left. */
  async step(zoneBytes: number): Promise<void> {
    const { giveback } = this.#target;
    const isBegun = this.#state.hotBytes > 0;
    const hot = isBegun
      ? this.#state
      : heatGiveback(this.#state, zoneBytes, giveback.previous.sectorSizeBytes);
    if (isHeadsTurn(hot)) await this.#rewriteHead(hot, isBegun);
    else await this.#move(hot);
  }

  /** Done again it gives the same: no record says that it is under way, as none is needed. */
  async #move(hot: GivebackState): Promise<void> {
    const { payload, giveback } = this.#target;
    const extent = hotGivebackExtent(hot);
    debug('move %d bytes to %d', extent.sizeBytes, extent.offsetBytes);
    this.#team!.zone.restoreRange(extent, payload, giveback.shiftBytes + extent.offsetBytes);
    payload.sync();
    await this.#record(coolGiveback(hot));
  }

  async #rewriteHead(hot: GivebackState, isBegun: boolean): Promise<void> {
    const { device, payload, giveback } = this.#target;
    const head = hotGivebackExtent(hot);
    const team = this.#team!;
    if (isBegun) requireWhole(recoverZone(team, giveback, device, head), this.#givenUp);
    else {
      const protection = await planProtection(team, giveback, payload, 0, head);
      await this.#record(hot, [protection]);
      await team.convert(head);
    }
    payload.sync();
    // The finished header is the record of it: cryptsetup takes "all done, not yet ended" for nothing done.
    await this.#finish(coolGiveback(hot));
  }

  /** Where only the end is missing. */
  async endIfDone(): Promise<void> {
    if (this.#state.doneBytes === this.#state.totalBytes) await this.#finish(this.#state);
  }

  /** The room that the data has left is wiped before the header ends it, and with it the keys. */
  async #finish(state: GivebackState): Promise<void> {
    const { payload, giveback } = this.#target;
    if (this.#team) await wipePayload(payload, state.totalBytes);
    await this.#change((header) => [
      ...planMetadata(header, withoutReencryption(header, giveback)),
      ...planKeyslotWipes(header, endingKeyslots(header, giveback)),
    ]);
    this.#state = state;
  }

  async #record(state: GivebackState, before: readonly WriteStep[] = []): Promise<void> {
    const { giveback } = this.#target;
    await this.#change((header) => [
      ...before,
      ...planMetadata(header, withShiftedParts(header, giveback, givebackPartsOf(state))),
    ]);
    this.#state = state;
  }

  #change(plan: (header: LuksHeader) => WriteStep[]): Promise<void> {
    const { device, giveback } = this.#target;
    return changeHeader(device, (header) => {
      if (hasShiftedParts(header, giveback, givebackPartsOf(this.#state))) {
        return { steps: plan(header), result: undefined };
      }
      throw new LuksError('BUSY', 'another program goes on with this decryption; let it finish');
    });
  }
}

/**
 * Goes on with the decryption and resolves to how far it is: all of it, or less where `isStopped` said so.
 * Throws BUSY, DEVICE_IO, HEADER_CORRUPT; the state on storage can be gone on from whatever happens.
 */
export async function runGiveback(
  target: GivebackTarget,
  options: Pick<RunOptions, 'zoneBytes' | 'onProgress' | 'isStopped' | 'givenUp'> = {},
): Promise<GivebackState> {
  const { device, payload, giveback } = target;
  const { zoneBytes = DEFAULT_ZONE_BYTES, onProgress = () => {}, isStopped = () => false } = options;
  await moveHead(device, payload, giveback);
  const run = new GivebackRun(target, options.givenUp);
  try {
    await run.endIfDone();
    while (run.state.doneBytes < run.state.totalBytes && !isStopped()) {
      onProgress(run.state.doneBytes, run.state.totalBytes);
      await run.step(zoneBytes);
      await nextTurn(); // for signals to be heard
    }
    onProgress(run.state.doneBytes, run.state.totalBytes);
    return run.state;
  } finally {
    await run.close();
  }
}
