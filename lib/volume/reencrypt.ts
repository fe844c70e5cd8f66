/**
 * Runs a reencryption that a header records, from where it is to its end or to where it is told to stop. One step: what
 * protects the hot zone goes to the keyslot's area, the header says which zone is hot, the zone is rewritten and synced,
 * the header says that it is done. A cut anywhere leaves a state that this, and cryptsetup, goes on from.
 * Knows no passphrases.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { alignDown } from '../bytes.js';
import type { VolumeKeys } from '../crypto/secret.js';
import type { Device, ReadableDevice } from '../device.js';
import { LuksError } from '../errors.js';
import { changeHeader, planKeyslotWipes, type WriteStep } from '../format/change.js';
import { readHeader } from '../format/header.js';
import type { LuksHeader } from '../format/model.js';
import {
  endingKeyslots,
  hasParts,
  type Reencryption,
  withoutReencryption,
  withParts,
} from '../format/reencryption.js';
import { planMetadata } from '../format/write.js';
import { withPairing } from '../keyslot/pairing.js';
import { LostData } from './lost-data.js';
import {
  cool,
  type Extent,
  heat,
  hotExtent,
  type Piece,
  partsOf,
  type ReencryptionState,
} from './reencrypt-parts.js';
import { planProtection, protectableBytes, recoverZone } from './reencrypt-protection.js';
import { ZoneTeam } from './reencrypt-team.js';
import { NO_GATE, type ZoneGate } from './zone-gate.js';

const MiB = 1024 * 1024;

/** Large enough that syncing between the steps costs little, small enough that little is done twice. */
export const DEFAULT_ZONE_BYTES = 64 * MiB;

/** Everything a reencryption works on; all of it stays the caller's. */
export interface ReencryptionTarget {
  /** The header's, open for writing; the payload's own where the header is attached. */
  device: Device;
  payload: Device;
  reencryption: Reencryption;
  state: ReencryptionState;
  keys: VolumeKeys;
}

export interface RunOptions {
  /** The most that is rewritten in one step. */
  zoneBytes?: number;
  onProgress?: (doneBytes: number, totalBytes: number) => void;
  /** Asked between two steps. */
  isStopped?: () => boolean;
  /** Awaited after each step, with what it rewrote. */
  pace?: (stepBytes: number) => Promise<void>;
  /** Where the volume is used meanwhile. */
  gate?: ZoneGate;
  /** The most that work on one zone; one a core without. */
  threads?: number;
  /** What `LostData` has told: it is given up, and stays as it is. */
  givenUp?: readonly Piece[];
}

/** Throws LostData where anything is lost but what is given up. */
export function requireWhole(pieces: readonly Piece[], givenUp: readonly Piece[] | undefined): void {
  const isWhole = pieces.every(({ state }) => state !== 'lost');
  if (!isWhole && !isDeepStrictEqual(pieces, givenUp)) throw new LostData(pieces);
}

/** No zone, and no border between done and to do, is cut within such a unit. */
export function unitBytesOf({ previous, final, blockSizeBytes }: Reencryption): number {
  const sectors = [previous, final].map((side) => (side.type === 'crypt' ? side.sectorSizeBytes : 512));
  return Math.max(blockSizeBytes, ...sectors);
}

/** As much as the options allow and the keyslot's area can protect. */
function zoneBytesOf(reencryption: Reencryption, wantedBytes: number): number {
  const unitBytes = unitBytesOf(reencryption);
  const zoneBytes = alignDown(Math.min(wantedBytes, protectableBytes(reencryption)), unitBytes);
  if (zoneBytes > 0) return zoneBytes;
  throw new LuksError(
    'BAD_ARGUMENT',
    `a hot zone must have ${unitBytes} bytes at least; give a larger --hotzone-size`,
  );
}

function makeTeam(
  { payload, reencryption, keys }: Omit<ReencryptionTarget, 'device'>,
  threads: number | undefined,
): ZoneTeam {
  const { previous, final, previousDigest, finalDigest, hash, blockSizeBytes } = reencryption;
  const sideOf = (segment: Reencryption['previous']) =>
    segment.encryption === null
      ? null
      : { encryption: segment.encryption, sectorSizeBytes: segment.sectorSizeBytes };
  const keyOf = (digest: number | null) => (digest === null ? null : keys.get(digest)!);
  const shape = {
    dataOffsetBytes: previous.offsetBytes,
    previous: sideOf(previous),
    final: sideOf(final),
    hash,
    blockSizeBytes,
  };
  const zoneKeys = { previous: keyOf(previousDigest), final: keyOf(finalDigest) };
  return new ZoneTeam(payload, shape, zoneKeys, threads);
}

function requireUnmoved(header: LuksHeader, reencryption: Reencryption, state: ReencryptionState): void {
  if (hasParts(header, reencryption, partsOf(state))) return;
  throw new LuksError('BUSY', 'another program goes on with this reencryption; let it finish');
}

class Run {
  readonly #target: ReencryptionTarget;
  #team: ZoneTeam | null = null;
  #state: ReencryptionState;
  readonly #gate: ZoneGate;
  readonly #threads: number | undefined;
  readonly #givenUp: readonly Piece[] | undefined;

  constructor(target: ReencryptionTarget, { gate = NO_GATE, threads, givenUp }: RunOptions = {}) {
    this.#gate = gate;
    this.#threads = threads;
    this.#givenUp = givenUp;
    this.#target = target;
    this.#state = target.state;
  }

  get state(): ReencryptionState {
    return this.#state;
  }

  async close(): Promise<void> {
    await this.#team?.close();
  }

  /** Made when data is to be touched: without that not both keys need be there. */
  #requireTeam(): ZoneTeam {
    this.#team ??= makeTeam(this.#target, this.#threads);
    return this.#team;
  }

  /** Where only the last change of the header is missing. */
  async endIfDone(): Promise<void> {
    if (this.#state.doneBytes === this.#state.totalBytes) await this.#finish(this.#state);
  }

  /** Brings a hot zone that a cut left to its new form, whatever of it is there. */
  recover(): Promise<void> {
    return this.#behindGate(hotExtent(this.#state), () => this.#recover());
  }

  async #behindGate(zone: Extent, work: () => Promise<void>): Promise<void> {
    this.#gate.shut(zone);
    try {
      await work();
    } catch (error) {
      this.#gate.abandon(zone);
      throw error;
    }
    this.#gate.open(this.#state);
  }

  async #recover(): Promise<void> {
    const { device, reencryption } = this.#target;
    const pieces = recoverZone(this.#requireTeam(), reencryption, device, hotExtent(this.#state));
    requireWhole(pieces, this.#givenUp);
    await this.#record(cool(this.#state));
  }

  async step(zoneBytes: number): Promise<void> {
    const { reencryption } = this.#target;
    const hot = heat(this.#state, zoneBytesOf(reencryption, zoneBytes), unitBytesOf(reencryption));
    await this.#behindGate(hotExtent(hot), () => this.#rewrite(hot));
  }

  async #rewrite(hot: ReencryptionState): Promise<void> {
    const { payload, reencryption } = this.#target;
    const zone = hotExtent(hot);
    // Nothing could be done with a record of a hot zone that nothing protects; without it the step is as if not begun.
    if (reencryption.resilience !== 'none') {
      const { previous } = reencryption;
      const team = this.#requireTeam();
      const protection = await planProtection(team, reencryption, payload, previous.offsetBytes, zone);
      await this.#change(hot, [protection]);
    }
    await this.#requireTeam().convert(zone);
    await this.#record(cool(hot));
  }

  /** The zone is rewritten: on storage first, then in the header. */
  async #record(state: ReencryptionState): Promise<void> {
    this.#target.payload.sync();
    if (state.doneBytes < state.totalBytes) await this.#change(state, []);
    else await this.#finish(state);
  }

  async #change(state: ReencryptionState, before: WriteStep[]): Promise<void> {
    const { device, reencryption } = this.#target;
    await changeHeader(device, (header) => {
      requireUnmoved(header, reencryption, this.#state);
      const changed = withParts(header, reencryption, partsOf(state));
      return { steps: [...before, ...planMetadata(header, changed)], result: undefined };
    });
    this.#state = state;
  }

  async #finish(state: ReencryptionState): Promise<void> {
    const { device, payload, reencryption, keys } = this.#target;
    await changeHeader(device, (header) => {
      requireUnmoved(header, reencryption, this.#state);
      const ended = withoutReencryption(header, reencryption);
      const { finalDigest } = reencryption;
      const key = finalDigest === null ? null : keys.get(finalDigest)!;
      const changed = key ? withPairing(ended, key.bytes, payload.sizeBytes) : ended;
      const wipes = planKeyslotWipes(header, endingKeyslots(header, reencryption));
      return { steps: [...planMetadata(header, changed), ...wipes], result: undefined };
    });
    this.#state = state;
  }
}

/**
 * Only brings a hot zone to its new form, where a cut has left one, and resolves to the state that leaves.
 * Throws as `runReencryption` does.
 */
export async function recoverReencryption(
  target: ReencryptionTarget,
  options: Pick<RunOptions, 'gate' | 'threads' | 'givenUp'> = {},
): Promise<ReencryptionState> {
  const run = new Run(target, options);
  try {
    if (target.state.hotBytes > 0) await run.recover();
    return run.state;
  } finally {
    await run.close();
  }
}

/**
 * What a hot zone consists of, for those who may write nothing. `device` is the header's.
 * Throws BUSY where it is not in this state any more, HEADER_CORRUPT.
 */
export async function surveyReencryption(
  device: ReadableDevice,
  target: Omit<ReencryptionTarget, 'device'>,
): Promise<Piece[]> {
  const { reencryption, state } = target;
  requireUnmoved(readHeader(device), reencryption, state);
  const team = makeTeam(target, 1);
  try {
    return recoverZone(team, reencryption, device, hotExtent(state), { isReader: true });
  } finally {
    await team.close();
  }
}

/**
 * Goes on with the reencryption and resolves to how far it is: all of it, or less where `isStopped` said so.
 * Throws BUSY, LostData, DEVICE_IO, HEADER_CORRUPT; the state on storage can be gone on from whatever happens,
 * but for resilience `none`. What keeps others away is the claim of `openReencryption` on the devices of `target`.
 */
export async function runReencryption(
  target: ReencryptionTarget,
  options: RunOptions = {},
): Promise<ReencryptionState> {
  const { zoneBytes = DEFAULT_ZONE_BYTES, onProgress = () => {}, isStopped = () => false } = options;
  const { pace = async () => {} } = options;
  const run = new Run(target, options);
  try {
    await (target.state.hotBytes > 0 ? run.recover() : run.endIfDone());
    while (run.state.doneBytes < run.state.totalBytes && !isStopped()) {
      onProgress(run.state.doneBytes, run.state.totalBytes);
      const before = run.state.doneBytes;
      await run.step(zoneBytes);
      await pace(run.state.doneBytes - before);
      // A step in this thread alone never waits, and signals would be heard when all is done.
      await nextTurn();
    }
    onProgress(run.state.doneBytes, run.state.totalBytes);
    return run.state;
  } finally {
    await run.close();
  }
}
