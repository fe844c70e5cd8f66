/**
 * The cipher that is none. A header that names it turns what a user believes to be encrypted into plaintext, so
 * createSectorCipher makes it only where it is asked for by an option of its own.
 */
import type { IvGenerator } from '../ivs/iv.js';
import type { SectorMode } from './mode.js';

export const noMode: SectorMode = { encrypt: () => {}, decrypt: () => {}, destroy: () => {} };
export const noIv: IvGenerator = { fill: () => {}, destroy: () => {} };
