/**
 * The one WASM module of the project: what the sector ciphers do besides the block cipher itself, and the block
 * ciphers that OpenSSL lacks. All arguments are offsets into the memory of kernel.ts, which owns and lays it out.
 */
export { addAdiantumHash, setAdiantumKey, subtractAdiantumHash, xorAdiantumStream } from './adiantum.js';
export { cast6Decrypt, cast6Encrypt, cast6SetKey } from './cast6.js';
export { copyBlock, loadColumn, maskColumn, stepColumn, storeColumn, unchainCbc, xorBlock, xorColumn } from './cbc.js';
export { unchainAhead, unchainBehind, unmaskAhead, unmaskBehind } from './chained.js';
export { fillCounters, xorBytes } from './ctr.js';
export { fillXctr, setHctr2Key, xorHctr2Hash, xorXctr } from './hctr2.js';
export { fillNull, fillPlain, fillPlain64, fillPlain64Be } from './iv.js';
export { maskLrw, setLrwKey } from './lrw.js';
export { serpentDecrypt, serpentEncrypt, serpentSetKey } from './serpent.js';
export { twofishDecrypt, twofishEncrypt, twofishSetKey } from './twofish.js';
export { maskXts, unmaskXts } from './xts.js';

/** Where the static data of this module ends; the memory's owner lays its regions out behind it. */
export function staticEndOffset(): usize {
  return __heap_base;
}
