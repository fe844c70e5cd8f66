import t from 'tap';
import { benchmarkCipher } from '../../../lib/crypto/benchmark.js';

t.test('a cipher is measured both ways', async (t) => {
  const options = { engine: 'wasm', measureMs: 5, requestBytes: 4096 } as const;
  const speed = benchmarkCipher('serpent-xts-plain64', 512, 512, options);
  t.match(speed, { spec: 'serpent-xts-plain64', keyBits: 512, sectorSizeBytes: 512, engine: 'wasm' });
  t.ok(speed.encryptMiBps > 0 && speed.decryptMiBps > 0);
  t.throws(() => benchmarkCipher('serpent-xts-plain64', 100, 512), { code: 'UNSUPPORTED' });
});
