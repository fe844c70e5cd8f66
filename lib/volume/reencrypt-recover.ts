/**
 * Only recovers the step of a reencryption that was interrupted, of whichever kind, without going on with it.
 */
import { destroyKeys } from '../crypto/secret.js';
import type { Device } from '../device.js';
import { readHeader } from '../format/header.js';
import { type LuksHeader, volumeSegments } from '../format/model.js';
import { HOT_FLAG } from '../format/reencryption.js';
import { findGiveback } from '../format/reencryption-giveback.js';
import { isInReencryption } from '../format/requirements.js';
import type { Unlock } from '../keyslot/unlock.js';
import { LostData } from './lost-data.js';
import { recoverReencryption } from './reencrypt.js';
import { openGiveback, runGiveback } from './reencrypt-giveback.js';
import { openReencryption } from './reencrypt-open.js';
import type { Piece } from './reencrypt-parts.js';
import { findShiftedSides } from './under-way.js';

/** True where a step was interrupted on data that stays where it is. Data that moves needs no recovery: see `UnderWay`. */
export function isInterrupted(header: LuksHeader): boolean {
  const hot = volumeSegments(header).find(({ flags }) => flags.includes(HOT_FLAG));
  if (!hot || !isInReencryption(header)) return false;
  return findGiveback(header) ? hot.offsetBytes === 0 : findShiftedSides(header) === null;
}

type Attempt = (givenUp?: readonly Piece[]) => Promise<unknown>;

async function recoverOrGiveUp(attempt: Attempt, admit: (lost: LostData) => void): Promise<void> {
  try {
    await attempt();
  } catch (error) {
    if (!(error instanceof LostData)) throw error;
    admit(error);
    await attempt(error.pieces);
  }
}

/**
 * Both devices are open for writing, and stay the caller's; so do the bytes of `unlock`. Throws as `openReencryption` and
 * `runReencryption`.
 * @param admit throws unless what is lost is to be given up: it stays as it is and counts as done
 */
export async function recoverInterrupted(
  { device, payload }: { device: Device; payload: Device },
  unlock: Unlock,
  admit: (lost: LostData) => void,
): Promise<void> {
  const isGiveback = findGiveback(readHeader(device)) !== null;
  const target = isGiveback
    ? await openGiveback(device, payload, unlock)
    : await openReencryption(device, payload, unlock);
  try {
    // The head of the data is the last step of its kind: with it all is done.
    const attempt: Attempt = (givenUp) =>
      'giveback' in target
        ? runGiveback(target, givenUp && { givenUp })
        : recoverReencryption(target, givenUp && { givenUp });
    await recoverOrGiveUp(attempt, admit);
  } finally {
    destroyKeys(target.keys);
  }
}
