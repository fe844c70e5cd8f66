import t from 'tap';
import { luksfuse, mustLuksfuse } from '../kit/luksfuse.js';

t.test('benchmark measures one cipher, both ways, and names its engine', async (t) => {
  const { stdout } = await mustLuksfuse([
    'benchmark',
    '--cipher',
    'aes-xts-plain64',
    '--sector-size',
    '4096',
    '--json',
  ]);
  const { ciphers, kdfs } = JSON.parse(stdout.toString());
  t.equal(ciphers.length, 1);
  t.match(ciphers[0], { spec: 'aes-xts-plain64', keyBits: 512, sectorSizeBytes: 4096 });
  t.ok(ciphers[0].encryptMiBps > 0 && ciphers[0].decryptMiBps > 0);
  t.match(ciphers[0].engine, /gcrypt-ffi|openssl-ffi|node-crypto|wasm/);
  t.same(kdfs, [], 'key derivation is measured with the usual ciphers only');
});

t.test('a cipher that does not exist is refused by name', async (t) => {
  const refused = await luksfuse(['benchmark', '--cipher', 'rot13-xts-plain64']);
  t.equal(refused.code, 4);
  t.match(refused.stderr.toString(), /rot13/);
  t.equal((await luksfuse(['benchmark', '--key-size', '12'])).code, 1);
});
