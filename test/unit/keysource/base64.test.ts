import { randomBytes } from 'node:crypto';
import t from 'tap';
import { decodeBase64 } from '../../../lib/keysource/base64.js';

const decode = (text: string) => decodeBase64(Buffer.from(text));

/** RFC 4648, section 10. */
const VECTORS = ['', 'Zg==', 'Zm8=', 'Zm9v', 'Zm9vYg==', 'Zm9vYmE=', 'Zm9vYmFy'];

t.test('the vectors of the RFC, with and without padding', async (t) => {
  for (const [length, text] of VECTORS.entries()) {
    t.same(decode(text), Buffer.from('foobar').subarray(0, length));
    t.same(decode(text.replace(/=+$/, '')), Buffer.from('foobar').subarray(0, length));
  }
});

t.test('every byte, in lines', async (t) => {
  for (let length = 0; length < 100; length++) {
    const bytes = randomBytes(length);
    t.same(decode(bytes.toString('base64').replace(/(.{7})/g, '$1\n')), bytes);
  }
});

t.test('anything else is none', async (t) => {
  for (const text of ['Zm 9v', 'Zm9v\r\n', 'Zm9-', 'Zm9_', 'Zg==Zg', 'Z\0m9', '\u00fc'])
    t.equal(decode(text), null);
});
