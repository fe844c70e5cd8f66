/**
 * uuid, is-luks and dump, against what cryptsetup says of the same header.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { cryptsetup, makePair } from '../kit/cryptsetup.js';
import { luksfuse, mustLuksfuse } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { makeTempDir } from '../kit/temp.js';

const MiB = 1024 * 1024;
const skip = skipUnless({ tools: ['cryptsetup'] });

for (const type of ['luks1', 'luks2'] as const) {
  t.test(type, { skip }, async (t) => {
    const pair = await makePair(t, {
      type,
      sizeBytes: MiB,
      cipher: 'aes-cbc-essiv:sha256',
      keySizeBits: 256,
    });
    const header = fs.readFileSync(pair.headerFile);
    const uuid = (await cryptsetup('luksUUID', pair.headerFile)).stdout.toString().trim();

    t.equal((await mustLuksfuse(['uuid', pair.headerFile])).stdout.toString(), `${uuid}\n`);
    t.equal((await mustLuksfuse(['luksUUID', pair.headerFile])).stdout.toString(), `${uuid}\n`, 'alias');
    t.equal((await luksfuse(['is-luks', pair.headerFile])).code, 0);
    t.equal((await luksfuse(['isLuks', pair.headerFile])).code, 0, 'alias');

    const text = (await mustLuksfuse(['dump', pair.headerFile])).stdout.toString();
    for (const word of [uuid, 'aes', 'essiv:sha256', 'pbkdf2', '1000'])
      t.ok(text.includes(word), `dump: ${word}`);
    const json = (await mustLuksfuse(['dump', '--json', pair.headerFile])).stdout.toString();
    t.ok(JSON.stringify(JSON.parse(json)).includes(uuid), 'dump --json is JSON and has the UUID');

    const secret = fs.readFileSync(pair.volumeKeyFile);
    for (const form of ['hex', 'base64'] as const) {
      t.notOk(`${text}${json}`.includes(secret.toString(form)), `no volume key in ${form}`);
    }
    t.ok(fs.readFileSync(pair.headerFile).equals(header), 'the header is as it was');
  });
}

t.test('what is not LUKS', async (t) => {
  const file = path.join(makeTempDir(t), 'noise');
  fs.writeFileSync(file, randomBytes(MiB));
  for (const command of ['uuid', 'is-luks', 'dump', 'test-key']) {
    const { code } = await luksfuse([command, file], { input: Buffer.from('x\n') });
    t.equal(code, 4, `${command} exits with 4`);
  }
});
