import t from 'tap';
import { formatCipherSpec, keySizesBits, parseCipherSpec } from '../../../lib/crypto/cipher-spec.js';

const plainSpelling = (text: string) => formatCipherSpec(parseCipherSpec(text));

t.test('specs are read and written back', async (t) => {
  t.same(parseCipherSpec('aes-cbc-essiv:sha256'), {
    cipher: 'aes',
    mode: 'cbc',
    iv: 'essiv',
    ivHash: 'sha256',
  });
  for (const text of ['aes-xts-plain64', 'camellia-xts-plain', 'blowfish-cbc-essiv:blake2s-256', 'sm4-ecb']) {
    t.equal(plainSpelling(text), text);
  }
});

t.test('the spellings of dm-crypt lead to the plain one', async (t) => {
  for (const [text, plain] of [
    ['aes', 'aes-cbc-plain'],
    ['aes-plain', 'aes-cbc-plain'],
    ['aes-cbc-plain', 'aes-cbc-plain'],
    ['aes:1-cbc-plain', 'aes-cbc-plain'],
    ['aes-ecb-plain64', 'aes-ecb'],
    ['null', 'cipher_null-cbc-plain'],
    ['null-ecb', 'cipher_null-ecb'],
    ['capi:xts(aes)-plain64', 'aes-xts-plain64'],
    ['capi:cbc(des3_ede)-plain64be', 'des3_ede-cbc-plain64be'],
    ['capi:cbc(aes)-essiv:sha256', 'aes-cbc-essiv:sha256'],
    ['capi:essiv(cbc(aes),sha256)-plain64', 'aes-cbc-essiv:sha256'],
    ['xchacha12-adiantum-plain64', 'xchacha12,aes-adiantum-plain64'],
    ['xchacha20,aes-adiantum-plain64', 'xchacha20,aes-adiantum-plain64'],
    ['capi:adiantum(xchacha12,aes)-plain64', 'xchacha12,aes-adiantum-plain64'],
    ['capi:adiantum(xchacha20,aes,nhpoly1305)-plain64', 'xchacha20,aes-adiantum-plain64'],
    ['capi:hctr2(aes)-plain64', 'aes-hctr2-plain64'],
    ['capi:lrw(camellia)-benbi', 'camellia-lrw-benbi'],
  ] as const) {
    t.equal(plainSpelling(text), plain);
  }
});

t.test('key sizes', async (t) => {
  const sizes = (text: string) => keySizesBits(parseCipherSpec(text));
  t.same(sizes('aes-xts-plain64'), [256, 384, 512]);
  t.same(sizes('aes-cbc-plain64'), [128, 192, 256]);
  t.same(sizes('aes-lrw-benbi'), [256, 320, 384]);
  t.same(sizes('des3_ede-cbc-plain64'), [192]);
  t.equal(sizes('blowfish-cbc-plain64').at(-1), 448);
});

t.test('what is not supported is refused by name', async (t) => {
  for (const [text, pattern] of [
    ['rot13-xts-plain64', /rot13-xts-plain64.*the ciphers are aes/],
    ['aes-ofb-plain64', /the modes are xts, cbc/],
    ['aes-xts-dice', /the IV generators are plain64, plain/],
    ['aes-cbc-lmk', /loop-AES/],
    ['aes:64-cbc-lmk', /64 keys are loop-AES/],
    ['aes-cbc-tcw', /TrueCrypt/],
    ['aes-cbc-elephant', /BitLocker/],
    ['aes-xts-random', /dm-integrity/],
    ['xchacha12-xts-plain64', /xts does not go with xchacha12,aes/],
    ['aes-adiantum-plain64', /adiantum does not go with aes/],
    ['twofish-hctr2-plain64', /hctr2 does not go with twofish/],
    ['aes-hctr2-essiv:sha256', /hctr2 takes others/],
    ['aes-xts-eboiv', /eboiv goes with cbc alone/],
    ['aes-cbc-essiv', /essiv needs a hash/],
    ['aes-xts-plain64:sha256', /plain64 takes no hash/],
    ['aes-cbc-essiv:nohash', /no hash nohash/],
    ['blowfish-xts-plain64', /xts does not go with blowfish/],
    ['aes-xts', /xts needs an IV generator/],
    ['', /not of the form/],
    ['AES-XTS-PLAIN64', /not of the form/],
    ['aes-xts-plain64\n', /not of the form/],
    ['capi:xts(aes)', /not of the form/],
    ['capi:essiv(cbc(aes),sha256)-plain', /not of the form/],
    ['capi:authenc(hmac(sha256),xts(aes))-plain64', /not of the form/],
    ['__proto__', /the ciphers are/],
    ['constructor-cbc-plain', /the ciphers are/],
    ['aes-cbc-constructor', /the IV generators are/],
    ['a'.repeat(1000), /too long/],
  ] as const) {
    t.throws(() => parseCipherSpec(text), { code: 'UNSUPPORTED', message: pattern }, text);
  }
});
