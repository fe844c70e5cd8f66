/**
 * What keeps those who use a volume and the reencryption that goes on meanwhile out of each other's way.
 */
import type { Frontier } from './frontier.js';
import type { RangeLock } from './range-lock.js';
import type { Extent, ReencryptionState } from './reencrypt-parts.js';

/** The door to the zone that is worked on. Offsets as in `ReencryptionState`. */
export interface ZoneGate {
  /** Returns when nobody uses the zone any more. */
  shut(zone: Extent): void;
  /** The zone that was shut can be used: the volume is in this state. */
  open(state: ReencryptionState): void;
  /** The zone that was shut cannot be used until it has been recovered. */
  abandon(zone: Extent): void;
}

/** Of a volume that nobody uses. */
export const NO_GATE: ZoneGate = { shut() {}, open() {}, abandon() {} };

/** Where the new form and the old one meet. */
export function borderOf({ direction, doneBytes, totalBytes }: ReencryptionState): number {
  return direction === 'forward' ? doneBytes : totalBytes - doneBytes;
}

/** The door of a volume whose threads share this lock and this frontier. */
export class SharedGate implements ZoneGate {
  readonly #lock: RangeLock;
  readonly #frontier: Frontier;
  readonly #isForward: boolean;

  constructor(lock: RangeLock, frontier: Frontier, isForward: boolean) {
    this.#lock = lock;
    this.#frontier = frontier;
    this.#isForward = isForward;
  }

  shut({ offsetBytes, sizeBytes }: Extent): void {
    this.#lock.acquireExclusive(offsetBytes, offsetBytes + sizeBytes);
  }

  open(state: ReencryptionState): void {
    this.#frontier.moveTo(borderOf(state));
    this.#lock.release();
  }

  abandon({ sizeBytes }: Extent): void {
    this.#frontier.killBeyond(this.#isForward ? sizeBytes : -sizeBytes);
    this.#lock.release();
  }
}
