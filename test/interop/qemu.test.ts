/**
 * LUKS1 images of QEMU: what qemu-io wrote is read through the mount, what is written through the mount is
 * read and checked by qemu-io; attached, and as a detached pair cut from the image.
 */
import t from 'tap';
import { checkImage, makeImage } from '../kit/qemu-image.js';
import { skipUnless } from '../kit/requirements.js';

const ROWS: Record<string, string>[] = [
  {},
  { 'cipher-alg': 'aes-128', 'cipher-mode': 'xts', 'ivgen-alg': 'plain64', 'hash-alg': 'sha512' },
  { 'cipher-alg': 'aes-256', 'cipher-mode': 'cbc', 'ivgen-alg': 'essiv', 'ivgen-hash-alg': 'sha256' },
  { 'cipher-alg': 'aes-256', 'cipher-mode': 'cbc', 'ivgen-alg': 'plain', 'hash-alg': 'sha1' },
];

const skip = skipUnless({ root: true, fuse: true, tools: ['qemu-img', 'qemu-io'] });

for (const luks of ROWS) {
  t.test(Object.values(luks).join(' ') || "QEMU's own choice", { skip }, async (t) => {
    const made = await makeImage(t, luks);
    await t.test('attached', (t) => checkImage(t, made, false));
    await t.test('detached', (t) => checkImage(t, made, true));
  });
}
