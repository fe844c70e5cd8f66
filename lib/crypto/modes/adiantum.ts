/**
 * Adiantum (P. Crowley, E. Biggers, 2018): a whole sector as one block, changed everywhere by any change. XChaCha with
 * 12 or 20 rounds, NH and Poly1305, and one call of AES-256 a sector, made here for all sectors of a chunk at once.
 */
import { findCipher } from '../ciphers.js';
import type { BlockCipher } from '../engines/engine.js';
import type { Kernel } from '../kernel.js';
import type { ModeContext, ModeRow, SectorMode } from './mode.js';

/** The rounds of the stream cipher, by the name of the pair of ciphers. */
const ROUNDS: ReadonlyMap<string, number> = new Map([
  ['xchacha12,aes', 12],
  ['xchacha20,aes', 20],
]);
const TWEAK_BYTES = 32;
const BLOCK_BYTES = 16;
/** Of setAdiantumKey (wasm/assembly/adiantum.ts), which also says where it leaves the key of the block cipher. */
const SCHEDULE_BYTES = 1744;
const BLOCK_KEY_OFFSET = 608;
const BLOCK_KEY_BYTES = 32;

/** Derives the keys into `schedule`; the block cipher's is taken out and wiped. */
function openBlockCipher(
  { kernel, engine, key }: ModeContext,
  schedule: number,
  rounds: number,
): BlockCipher | null {
  kernel.bytes.set(key, schedule);
  kernel.functions.setAdiantumKey(schedule, rounds);
  const start = schedule + BLOCK_KEY_OFFSET;
  const blockKey = kernel.bytes.subarray(start, start + BLOCK_KEY_BYTES);
  const block = engine.findBlockCipher(kernel, findCipher('aes')!, blockKey);
  blockKey.fill(0);
  return block;
}

function makeMode(
  kernel: Kernel,
  block: BlockCipher,
  schedule: number,
  rounds: number,
  bytes: number,
): SectorMode {
  const { functions, ivsOffset, workOffset: middles } = kernel;
  return {
    encrypt: (offset, sectorCount) => {
      functions.addAdiantumHash(schedule, offset, ivsOffset, middles, sectorCount, bytes);
      block.encrypt(middles, middles, sectorCount * BLOCK_BYTES);
      functions.xorAdiantumStream(schedule, offset, middles, sectorCount, bytes, rounds);
      functions.subtractAdiantumHash(schedule, offset, ivsOffset, middles, sectorCount, bytes);
    },
    decrypt: (offset, sectorCount) => {
      functions.addAdiantumHash(schedule, offset, ivsOffset, middles, sectorCount, bytes);
      functions.xorAdiantumStream(schedule, offset, middles, sectorCount, bytes, rounds);
      block.decrypt(middles, middles, sectorCount * BLOCK_BYTES);
      functions.subtractAdiantumHash(schedule, offset, ivsOffset, middles, sectorCount, bytes);
    },
    destroy: () => {
      block.destroy();
      kernel.releaseKey(schedule, SCHEDULE_BYTES);
    },
  };
}

function open(context: ModeContext): SectorMode | null {
  const { kernel, cipher, sectorSizeBytes } = context;
  const rounds = ROUNDS.get(cipher.name);
  if (!rounds) return null;
  const schedule = kernel.allocateKey(SCHEDULE_BYTES);
  const block = openBlockCipher(context, schedule, rounds);
  if (block) return makeMode(kernel, block, schedule, rounds, sectorSizeBytes);
  kernel.releaseKey(schedule, SCHEDULE_BYTES);
  return null;
}

export const adiantum: ModeRow = {
  name: 'adiantum',
  ivBytes: () => TWEAK_BYTES,
  keySizesBytes: (cipher) => (ROUNDS.has(cipher.name) ? cipher.keySizesBytes : []),
  open,
};
