/**
 * iv_tweak: a payload whose first sector is not number 0. No tool makes one, so it is cut from one that
 * cryptsetup filled: the ciphertext from sector K on is the payload of a header with iv_tweak K.
 */
import fs from 'node:fs';
import t from 'tap';
import { decryptPayload, makePair } from '../kit/cryptsetup.js';
import { editJson } from '../kit/luks2-image.js';
import { mountVolume, mustLuksfuse, unlockArgs } from '../kit/luksfuse.js';
import { editAtRandom } from '../kit/payload-edits.js';
import { seededRandom } from '../kit/random.js';
import { skipUnless } from '../kit/requirements.js';

const MiB = 1024 * 1024;
/** In 512-byte units whatever the sector size, and a whole number of 4096-byte sectors. */
const IV_TWEAK = 1032;

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });

for (const cipher of ['aes-xts-plain64', 'aes-cbc-essiv:sha256']) {
  for (const sectorSizeBytes of [512, 4096]) {
    t.test(`${cipher}, sectors of ${sectorSizeBytes}`, { skip }, async (t) => {
      const random = seededRandom((line) => t.comment(line));
      const options = { type: 'luks2', cipher, keySizeBits: 256, sizeBytes: 3 * MiB } as const;
      const pair = await makePair(t, { ...options, sectorSizeBytes });
      const cut = IV_TWEAK * 512;
      const whole = fs.readFileSync(pair.payload);
      fs.writeFileSync(pair.payload, whole.subarray(cut));
      editJson(pair.headerFile, (metadata) => {
        metadata.segments['0'].iv_tweak = `${IV_TWEAK}`;
      });

      const model = Buffer.from(pair.plaintext.subarray(cut));
      const cat = await mustLuksfuse(['cat', ...unlockArgs(pair), pair.payload]);
      t.ok(cat.stdout.equals(model), 'read');

      const mount = await mountVolume(t, pair);
      editAtRandom(mount.file, model, random, 60);
      await mount.umount();
      fs.writeFileSync(pair.payload, Buffer.concat([whole.subarray(0, cut), fs.readFileSync(pair.payload)]));
      t.ok((await decryptPayload(pair)).subarray(cut).equals(model), 'written');
    });
  }
}
