/**
 * The engine of the block ciphers that OpenSSL lacks: in the kernel's own WASM module, their key schedules in its
 * locked pages.
 */
import type { CipherRow } from '../ciphers.js';
import type { Kernel } from '../kernel.js';
import type { KernelFunctions } from '../kernel-functions.js';
import type { BlockCipher, Engine } from './engine.js';

interface WasmCipher {
  /** As its source in wasm/assembly says. */
  scheduleBytes: number;
  setKey: (functions: KernelFunctions) => KernelFunctions['serpentSetKey'];
  encrypt: (functions: KernelFunctions) => KernelFunctions['serpentEncrypt'];
  decrypt: (functions: KernelFunctions) => KernelFunctions['serpentDecrypt'];
}

const WASM_CIPHERS: ReadonlyMap<string, WasmCipher> = new Map([
  [
    'serpent',
    {
      scheduleBytes: 704,
      setKey: (functions) => functions.serpentSetKey,
      encrypt: (functions) => functions.serpentEncrypt,
      decrypt: (functions) => functions.serpentDecrypt,
    },
  ],
  [
    'twofish',
    {
      scheduleBytes: 4864,
      setKey: (functions) => functions.twofishSetKey,
      encrypt: (functions) => functions.twofishEncrypt,
      decrypt: (functions) => functions.twofishDecrypt,
    },
  ],
  [
    'cast6',
    {
      scheduleBytes: 416,
      setKey: (functions) => functions.cast6SetKey,
      encrypt: (functions) => functions.cast6Encrypt,
      decrypt: (functions) => functions.cast6Decrypt,
    },
  ],
]);

function findBlockCipher(kernel: Kernel, cipher: CipherRow, key: Uint8Array): BlockCipher | null {
  const wasm = WASM_CIPHERS.get(cipher.name);
  if (!wasm) return null;
  const { functions } = kernel;
  const schedule = kernel.allocateKey(wasm.scheduleBytes);
  const keyOffset = kernel.allocateKey(key.length);
  kernel.bytes.set(key, keyOffset);
  wasm.setKey(functions)(schedule, keyOffset, key.length);
  kernel.releaseKey(keyOffset, key.length);
  const encrypt = wasm.encrypt(functions);
  const decrypt = wasm.decrypt(functions);
  return {
    encrypt: (source, target, length) => encrypt(schedule, source, target, length),
    decrypt: (source, target, length) => decrypt(schedule, source, target, length),
    destroy: () => kernel.releaseKey(schedule, wasm.scheduleBytes),
  };
}

export const wasmEngine: Engine = {
  name: 'wasm',
  findBlockCipher,
  findMaskedBlocks: () => null,
  findCbcChain: () => null,
  findXtsSector: () => null,
};
