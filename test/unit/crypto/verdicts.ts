/**
 * What engine-check.ts says of engines: an engine that it finds wrong is set aside without a word, which a test must not
 * miss.
 */
import { CIPHERS, NULL_CIPHER } from '../../../lib/crypto/ciphers.js';
import { checkEngine } from '../../../lib/crypto/engine-check.js';
import type { Engine } from '../../../lib/crypto/engines/engine.js';
import { MODES } from '../../../lib/crypto/modes.js';

export const SECTOR_SIZES = [512, 1024, 2048, 4096];

interface Verdicts {
  /** `aes-xts 512 4096`: the key's bits and the sector's bytes. */
  right: string[];
  wrong: string[];
}

/** Of all that the engine has, but for some of the many key sizes of Blowfish and CAST5. */
export function judgeAll(engine: Engine): Verdicts {
  const verdicts: Verdicts = { right: [], wrong: [] };
  for (const cipher of CIPHERS.filter(({ name }) => name !== NULL_CIPHER)) {
    for (const mode of MODES) {
      const keySizes = mode.keySizesBytes(cipher).filter((_, index) => index < 5 || index % 17 === 0);
      for (const keyBytes of keySizes) {
        for (const sectorSizeBytes of SECTOR_SIZES) {
          const verdict = checkEngine(engine, { cipher, mode, keyBytes, sectorSizeBytes });
          if (verdict === 'missing') continue;
          verdicts[verdict].push(`${cipher.name}-${mode.name} ${keyBytes * 8} ${sectorSizeBytes}`);
        }
      }
    }
  }
  return verdicts;
}
