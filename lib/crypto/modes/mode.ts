/**
 * What a chaining mode is: whole sectors in the kernel's memory, turned in place with the IVs given beside.
 */
import type { CipherRow } from '../ciphers.js';
import type { Engine } from '../engines/engine.js';
import type { Kernel } from '../kernel.js';

export interface ModeContext {
  kernel: Kernel;
  engine: Engine;
  cipher: CipherRow;
  key: Uint8Array;
  sectorSizeBytes: number;
}

/** At most `CHUNK_BYTES` a call. The IVs are at `kernel.ivsOffset`, one a sector, and may be overwritten. */
export interface SectorMode {
  encrypt(offset: number, sectorCount: number): void;
  decrypt(offset: number, sectorCount: number): void;
  destroy(): void;
}

export interface ModeRow {
  readonly name: string;
  /** The size of one IV, 0 where the mode has none. */
  ivBytes(cipher: CipherRow): number;
  /** The key sizes of this mode over `cipher`; none where the two do not go together. */
  keySizesBytes(cipher: CipherRow): readonly number[];
  /** Null where the engine lacks the cipher. */
  open(context: ModeContext): SectorMode | null;
}
