/**
 * What an IV generator is: sector numbers in, a row of IVs in the kernel's memory out.
 */
import type { CipherRow } from '../ciphers.js';
import type { Engine } from '../engines/engine.js';
import type { Kernel } from '../kernel.js';

/** The unit in which IVs count, whatever the sector size is (LUKS2 spec, "iv_tweak"; dm-crypt). */
export const IV_SECTOR_BYTES = 512;

export interface IvContext {
  kernel: Kernel;
  engine: Engine;
  cipher: CipherRow;
  /** The whole key of the spec, of which some generators make their own. */
  key: Uint8Array;
  hash: string | null;
  /** The size of one IV, which the mode gives. */
  ivBytes: number;
  sectorSizeBytes: number;
}

export interface IvGenerator {
  /**
   * Writes `count` IVs at offset `target`, of the sectors `first`, `first + step`, …, in 512-byte units and
   * modulo 2^64.
   */
  fill(target: number, count: number, first: bigint, step: bigint): void;
  destroy(): void;
}

export interface IvRow {
  readonly name: string;
  readonly takesHash: boolean;
  /** The one mode it goes with, or null where it goes with all. */
  readonly onlyMode: string | null;
  /** Null where the engine lacks what the generator needs. */
  open(context: IvContext): IvGenerator | null;
}
