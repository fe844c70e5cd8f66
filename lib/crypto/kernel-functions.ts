/**
 * The exports of wasm/assembly/index.ts as TypeScript sees them: arguments are offsets into the kernel's memory
 * or counts, and u64 are bigints, taken modulo 2^64. Their sources say what each does.
 */

type Fill = (target: number, count: number, ivBytes: number, first: bigint, step: bigint) => void;
type Column = (work: number, column: number, count: number, sectorBytes: number, blockBytes: number) => void;

type SetKey = (schedule: number, key: number, keyBytes: number) => void;
type Blocks = (schedule: number, source: number, target: number, lengthBytes: number) => void;

type SectorHash = (
  schedule: number,
  data: number,
  tweaks: number,
  blocks: number,
  sectorCount: number,
  sectorBytes: number,
) => void;

export interface KernelFunctions {
  staticEndOffset(): number;

  fillNull(target: number, count: number, ivBytes: number): void;
  fillPlain: Fill;
  fillPlain64: Fill;
  fillPlain64Be: Fill;

  maskXts(data: number, masks: number, tweaks: number, sectorCount: number, sectorBytes: number): void;
  unmaskXts(data: number, masks: number, lengthBytes: number): void;

  unchainAhead(target: number, source: number, turned: number, lengthBytes: number): void;
  unmaskAhead(data: number, turned: number, masks: number, lengthBytes: number): void;
  unchainBehind(target: number, source: number, turned: number, lengthBytes: number): void;
  unmaskBehind(data: number, turned: number, masks: number, lengthBytes: number): void;

  setLrwKey(tables: number, tweakKey: number): void;
  maskLrw(data: number, ivs: number, tables: number, sectorCount: number, sectorBytes: number): void;

  xorBlock(target: number, mask: number, blockBytes: number): void;
  copyBlock(target: number, source: number, blockBytes: number): void;
  unchainCbc(
    data: number,
    decrypted: number,
    ivs: number,
    sectorCount: number,
    sectorBytes: number,
    blockBytes: number,
  ): void;
  loadColumn: Column;
  xorColumn: Column;
  stepColumn: Column;
  storeColumn: Column;
  maskColumn: Column;

  fillCounters(
    target: number,
    ivs: number,
    sectorCount: number,
    sectorBytes: number,
    blockBytes: number,
  ): void;
  xorBytes(target: number, mask: number, lengthBytes: number): void;

  serpentSetKey: SetKey;
  serpentEncrypt: Blocks;
  serpentDecrypt: Blocks;
  twofishSetKey: SetKey;
  twofishEncrypt: Blocks;
  twofishDecrypt: Blocks;
  cast6SetKey: SetKey;
  cast6Encrypt: Blocks;
  cast6Decrypt: Blocks;

  setAdiantumKey(schedule: number, rounds: number): void;
  addAdiantumHash: SectorHash;
  subtractAdiantumHash: SectorHash;
  xorAdiantumStream(
    schedule: number,
    data: number,
    middles: number,
    sectorCount: number,
    sectorBytes: number,
    rounds: number,
  ): void;

  setHctr2Key(schedule: number): void;
  xorHctr2Hash: SectorHash;
  fillXctr(
    schedule: number,
    target: number,
    before: number,
    after: number,
    sectorCount: number,
    sectorBytes: number,
  ): void;
  xorXctr(data: number, stream: number, sectorCount: number, sectorBytes: number): void;
}
