/**
 * The IV generators by the name headers give them: one room each in ivs/.
 */
import { benbi } from './ivs/benbi.js';
import { eboiv } from './ivs/eboiv.js';
import { essiv } from './ivs/essiv.js';
import type { IvRow } from './ivs/iv.js';
import { nullIv, plain, plain64, plain64be } from './ivs/plain.js';

export const IVS: readonly IvRow[] = [plain64, plain, plain64be, essiv, benbi, eboiv, nullIv];

/** Generators of dm-crypt that cannot be here, with the reason. */
const REFUSED: Readonly<Record<string, string>> = {
  lmk: 'lmk is loop-AES, which takes up to 65 keys; a LUKS header holds one',
  tcw: "tcw is TrueCrypt's whitening, whose keys a LUKS header does not hold",
  elephant: "elephant is BitLocker's diffuser, which needs a second key; use a BitLocker tool",
  random: 'random keeps its IVs in a dm-integrity device below, which a payload file is not',
};

export function findIv(name: string): IvRow | null {
  return IVS.find((iv) => iv.name === name) ?? null;
}

/** Why a generator that dm-crypt has is refused, or null where there is nothing to say about it. */
export function findIvRefusal(name: string): string | null {
  return Object.hasOwn(REFUSED, name) ? REFUSED[name]! : null;
}
