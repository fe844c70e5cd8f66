/**
 * Volumes of SM4-XTS with sectors of 4096 bytes that an older luksfuse wrote by OpenSSL's tweak (lib/CHANGELOG.md): they are
 * read once more and rewritten as everybody else has them.
 */
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { luksfuse, mustLuksfuse, unlockArgs } from '../kit/luksfuse.js';
import { makeVolume } from '../kit/volume.js';
import { encryptNaively } from '../unit/crypto/reference.js';

const SECTOR_BYTES = 4096;
const PAYLOAD_BYTES = 3 * SECTOR_BYTES;

/** As luksfuse 0.1.0 used it: by the number of the sector in units of 512 bytes. */
function encryptByOpenssl(key: Buffer, plaintext: Buffer): Buffer {
  const sectors = [];
  for (let offset = 0; offset < plaintext.length; offset += SECTOR_BYTES) {
    const iv = Buffer.alloc(16);
    iv.writeUInt32LE(offset / 512);
    const cipher = crypto.createCipheriv('sm4-xts', key, iv).setAutoPadding(false);
    sectors.push(cipher.update(plaintext.subarray(offset, offset + SECTOR_BYTES)));
  }
  return Buffer.concat(sectors);
}

t.test('the recipe of the change log', async (t) => {
  const key = crypto.randomBytes(32);
  const plaintext = crypto.randomBytes(PAYLOAD_BYTES);
  const wrong = encryptNaively('sm4-xtsgb-plain64', key, SECTOR_BYTES, plaintext, 0n);
  const right = encryptNaively('sm4-xts-plain64', key, SECTOR_BYTES, plaintext, 0n);
  t.notSame(wrong, right);
  if (crypto.getCiphers().includes('sm4-xts')) t.same(wrong, encryptByOpenssl(key, plaintext));

  const volumeKeyFile = path.join(t.testdir({ 'volume-key': key }), 'volume-key');
  const cipher = ['--cipher', 'sm4-xts-plain64', '--sector-size', '4096', '--volume-key-file', volumeKeyFile];
  const volume = await makeVolume(t, PAYLOAD_BYTES, [...cipher, '--key-size', '256']);
  fs.writeFileSync(volume.payload, wrong);
  const args = [...unlockArgs(volume), volume.payload];

  const old = await mustLuksfuse(['cat', '--cipher', 'sm4-xtsgb-plain64', ...args]);
  t.same(old.stdout, plaintext);
  await mustLuksfuse(['write', ...args], { input: old.stdout });
  t.same(fs.readFileSync(volume.payload), right);
  t.same((await mustLuksfuse(['cat', ...args])).stdout, plaintext);
});

t.test('no header gets the old tweak', async (t) => {
  const volume = await makeVolume(t, PAYLOAD_BYTES);
  const header = path.join(volume.dir, 'another');
  const place = ['--key-file', volume.keyFile, '--header', header, volume.payload];
  const { code, stderr } = await luksfuse(['format', '--cipher', 'sm4-xtsgb-plain64', ...place]);
  t.equal(code, 4);
  t.match(stderr, /only reads old data; use sm4-xts/);
  t.notOk(fs.existsSync(header));
});
