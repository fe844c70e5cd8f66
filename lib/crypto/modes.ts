/**
 * The chaining modes by the name headers give them: one room each in modes/.
 */
import { adiantum } from './modes/adiantum.js';
import { cbc } from './modes/cbc.js';
import { ctr } from './modes/ctr.js';
import { ecb } from './modes/ecb.js';
import { hctr2 } from './modes/hctr2.js';
import { lrw } from './modes/lrw.js';
import type { ModeRow } from './modes/mode.js';
import { xts, xtsgb } from './modes/xts.js';

export const MODES: readonly ModeRow[] = [xts, cbc, ctr, lrw, ecb, adiantum, hctr2];

export function findMode(name: string): ModeRow | null {
  return [...MODES, xtsgb].find((mode) => mode.name === name) ?? null;
}
