/**
 * A reencryption that goes on while its volume is in use: the volume, whose border moves, and what moves it. It can be
 * told to pause, to go on and how fast to be; a failure leaves the rest of the volume usable.
 * Knows neither mounts nor passphrases.
 */
import { setTimeout as delay } from 'node:timers/promises';
import createDebug from 'debug';
import type { VolumeKeys } from '../crypto/secret.js';
import type { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { readHeader } from '../format/header.js';
import { withReencryptionLock } from '../format/lock.js';
import type { ReencryptionMode } from '../format/reencryption.js';
import { isInReencryption } from '../format/requirements.js';
import { Frontier } from './frontier.js';
import { movingLayout, type VolumeLayout } from './layout.js';
import { RangeLock } from './range-lock.js';
import { type ReencryptionTarget, recoverReencryption, runReencryption } from './reencrypt.js';
import { adoptReencryption } from './reencrypt-open.js';
import type { ReencryptionState } from './reencrypt-parts.js';
import { Volume } from './volume.js';
import { borderOf, SharedGate } from './zone-gate.js';

const debug = createDebug('luksfuse:reencrypt');

/** Those who use the volume wait as long as one zone takes. */
const DEFAULT_ZONE_BYTES = 1024 * 1024;
/** The rate is that of the last so many milliseconds, at least. */
const RATE_MS = 1000;
/** Between two looks at the clock of one that must not be faster. */
const PACE_MS = 20;

/** Between two tries while somebody else has the lock. */
const BUSY_MS = 1000;

const isBusy = (error: unknown) => error instanceof LuksError && error.code === 'BUSY';

/** How it is to go on. Plain data. */
export interface OnlineOrder {
  isPaused: boolean;
  /** The most that is rewritten at a time; 1 MiB without. */
  zoneBytes?: number;
  /** Without, as fast as it can. */
  bytesPerSecond?: number;
}

/** How far it is. */
export interface OnlineProgress {
  mode: ReencryptionMode;
  state: 'running' | 'paused' | 'failed';
  doneBytes: number;
  totalBytes: number;
  bytesPerSecond: number | null;
  secondsLeft: number | null;
  error: string | null;
}

export class OnlineReencryption {
  readonly volume: Volume;
  readonly mode: ReencryptionMode;
  readonly #device: Device;
  readonly #payload: Device;
  readonly #keys: VolumeKeys;
  readonly #frontier: Frontier;
  readonly #gate: SharedGate;
  readonly #lock: RangeLock;
  readonly #uuid: string;
  readonly #finalDigest: number | null;
  readonly #onDone: (digest: number | null) => void;
  #order: OnlineOrder;
  #state: ReencryptionState;
  #running: Promise<void> | null = null;
  #error: string | null = null;
  #isStopped = false;
  #rate = { sinceMs: 0, sinceBytes: 0, bytesPerSecond: null as number | null };

  private constructor(
    target: ReencryptionTarget,
    layout: VolumeLayout,
    uuid: string,
    order: OnlineOrder,
    onDone: (digest: number | null) => void,
  ) {
    const { device, payload, reencryption, state, keys } = target;
    this.#device = device;
    this.#payload = payload;
    this.#keys = keys;
    this.#uuid = uuid;
    this.#order = order;
    this.#onDone = onDone;
    this.#state = state;
    this.#finalDigest = reencryption.finalDigest;
    this.mode = reencryption.mode;
    this.#frontier = new Frontier(Frontier.createMemory());
    this.volume = Volume.create(payload, movingLayout(layout, reencryption), keys, this.#frontier);
    this.#lock = new RangeLock(this.volume.handle.lockMemory);
    this.#gate = new SharedGate(this.#lock, this.#frontier, reencryption.direction === 'forward');
  }

  /**
   * For the reencryption in the header on `device`. Takes over `payload` and `keys`, as `Volume.create` does, for the
   * volume; nobody may use that before `settle` has returned. Throws as `adoptReencryption` does.
   * @param layout that of `layoutVolume`
   * @param onDone told when all is done and the header finished, with the digest whose key is still of use
   */
  static async open(
    { device, payload, keys }: { device: Device; payload: Device; keys: VolumeKeys },
    layout: VolumeLayout,
    uuid: string,
    order: OnlineOrder,
    onDone: (digest: number | null) => void,
  ): Promise<OnlineReencryption> {
    const target = await adoptReencryption(device, payload, keys);
    requireProtected(target.reencryption.resilience);
    return new OnlineReencryption(target, layout, uuid, order, onDone);
  }

  /**
   * Reads how far it is, recovers what a cut left, and goes on as ordered. Nobody may use the volume yet, nor be at work
   * on it any more. Throws where the state cannot be told; what cannot be recovered is refused to those who use it.
   * @param order where another is given by now than when it was opened
   */
  async settle(order = this.#order): Promise<void> {
    this.#order = order;
    if (!isInReencryption(readHeader(this.#device))) {
      this.#endAsOf({ ...this.#state, doneBytes: this.#state.totalBytes });
      return;
    }
    const { state, reencryption } = await this.#adopt();
    this.#frontier.moveTo(borderOf(state));
    // Neither old nor new, and refused until it is recovered, however long that takes.
    this.#frontier.killBeyond(reencryption.direction === 'forward' ? state.hotBytes : -state.hotBytes);
    try {
      await this.#recoverAlone();
    } catch (error) {
      this.#fail(error);
      if (isBusy(error)) this.#keepBusy(this.#recoverPatiently());
      return;
    }
    this.follow(this.#order);
  }

  /** Whoever was at work before has finished it in the meantime. */
  #endAsOf(state: ReencryptionState): void {
    this.#state = state;
    this.#frontier.moveTo(borderOf(state));
    this.#onDone(this.#finalDigest);
  }

  /** Goes on, or pauses, as ordered; after a failure it tries again. */
  follow(order: OnlineOrder): void {
    this.#order = order;
    if (order.isPaused || this.#running || this.#isStopped) return;
    this.#error = null;
    this.#keepBusy(this.#run());
  }

  /** Until `work` is done, there is no other. */
  #keepBusy(work: Promise<void>): void {
    this.#running = work
      .catch((error) => this.#fail(error))
      .finally(() => {
        this.#running = null;
      });
  }

  async #recoverAlone(): Promise<void> {
    await withReencryptionLock(this.#uuid, async () => {
      await this.#recover(await this.#adopt());
    });
  }

  /** Somebody else has the lock, and lets go of it some time. */
  async #recoverPatiently(): Promise<void> {
    while (!this.#isStopped) {
      await delay(BUSY_MS);
      try {
        await this.#recoverAlone();
        this.#error = null;
        if (!this.#order.isPaused && !this.#isStopped) await this.#run();
        return;
      } catch (error) {
        if (!isBusy(error)) throw error;
      }
    }
  }

  /** Null where all is done. */
  get progress(): OnlineProgress | null {
    const { doneBytes, totalBytes } = this.#state;
    if (doneBytes === totalBytes && !this.#running) return null;
    const bytesPerSecond = this.#running ? this.#rate.bytesPerSecond : null;
    const isGoingOn = this.#running !== null || !this.#order.isPaused;
    const state = isGoingOn ? 'running' : 'paused';
    return {
      mode: this.mode,
      state: this.#error === null ? state : 'failed',
      ...{ doneBytes, totalBytes, bytesPerSecond },
      secondsLeft: bytesPerSecond ? Math.ceil((totalBytes - doneBytes) / bytesPerSecond) : null,
      error: this.#error,
    };
  }

  /** Ends the work after the step under way; returns when nothing is written any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  /** Gives up what `volume.close` does not. */
  close(): void {
    this.#lock.close();
    if (this.#device !== this.#payload) this.#device.close();
  }

  async #adopt(): Promise<ReencryptionTarget> {
    const target = await adoptReencryption(this.#device, this.#payload, this.#keys);
    this.#state = target.state;
    return target;
  }

  /** What is left when a hot zone, which others are kept out of, has been brought to its new form. */
  async #recover(target: ReencryptionTarget): Promise<ReencryptionTarget> {
    this.#state = await recoverReencryption(target, { gate: this.#gate, threads: 1 });
    if (target.state.hotBytes === 0) this.#frontier.moveTo(borderOf(target.state));
    return { ...target, state: this.#state };
  }

  async #run(): Promise<void> {
    this.#rate = { sinceMs: Date.now(), sinceBytes: 0, bytesPerSecond: null };
    await withReencryptionLock(this.#uuid, async () => {
      const target = await this.#recover(await this.#adopt());
      this.#state = await runReencryption(target, {
        zoneBytes: this.#order.zoneBytes ?? DEFAULT_ZONE_BYTES,
        gate: this.#gate,
        threads: 1,
        onProgress: (doneBytes) => {
          this.#state = { ...this.#state, doneBytes };
        },
        pace: (stepBytes) => this.#pace(stepBytes),
        isStopped: () => this.#order.isPaused || this.#isStopped,
      });
    });
    if (this.#state.doneBytes === this.#state.totalBytes) this.#onDone(this.#finalDigest);
  }

  /** Waits where it would become too fast, and measures how fast it is. */
  async #pace(stepBytes: number): Promise<void> {
    const { sinceMs } = this.#rate;
    this.#rate.sinceBytes += stepBytes;
    const { sinceBytes } = this.#rate;
    const isTooFast = () => {
      const { bytesPerSecond, isPaused } = this.#order;
      return (
        !isPaused &&
        !this.#isStopped &&
        bytesPerSecond !== undefined &&
        (Date.now() - sinceMs) * bytesPerSecond < sinceBytes * 1000
      );
    };
    while (isTooFast()) await delay(PACE_MS);
    const elapsedMs = Date.now() - sinceMs;
    if (elapsedMs < RATE_MS) return;
    this.#rate = {
      sinceMs: Date.now(),
      sinceBytes: 0,
      bytesPerSecond: Math.round((sinceBytes * 1000) / elapsedMs),
    };
  }

  #fail(error: unknown): void {
    this.#error = error instanceof Error ? error.message : String(error);
    debug('stopped: %s', this.#error);
  }
}

/** A failure within a zone that nothing protects could not be mended while the volume is in use. */
export function requireProtected(resilience: string): void {
  if (resilience !== 'none') return;
  throw new LuksError(
    'BAD_ARGUMENT',
    'a reencryption with resilience none is not for a volume in use; finish it with: luksfuse reencrypt --resume-only',
  );
}
