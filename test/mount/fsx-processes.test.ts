/**
 * Several processes write the same sectors at once, each its own bytes of them: no write may be lost to
 * another's read-modify-write.
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { mountVolume, PROJECT_DIR } from '../kit/luksfuse.js';
import { seededRandom } from '../kit/random.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun } from '../kit/run.js';

const MiB = 1024 * 1024;
const WRITERS = 4;
const OPERATIONS = 3000;
const SCRIPT = path.join(PROJECT_DIR, 'dist/test/kit/stripe-writer.js');

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });

for (const sectorSizeBytes of [512, 4096]) {
  for (const cache of ['auto', 'none']) {
    t.test(`sectors of ${sectorSizeBytes}, cache ${cache}`, { skip }, async (t) => {
      const random = seededRandom((line) => t.comment(line));
      // Few sectors, so that the writers meet often; a quarter of a sector and a bit for each.
      const stripeBytes = Math.floor(sectorSizeBytes / 4) + 37;
      const pair = await makePair(t, { type: 'luks2', sectorSizeBytes, sizeBytes: MiB });
      const mount = await mountVolume(t, pair, { args: ['--cache', cache] });
      const states = Array.from({ length: WRITERS }, (_, index) => path.join(pair.dir, `state-${index}`));
      const runs = states.map((state, index) => {
        fs.writeFileSync(state, pair.plaintext);
        const numbers = [index, WRITERS, stripeBytes, OPERATIONS, random.between(1, 2 ** 30)];
        return mustRun(process.execPath, [SCRIPT, mount.file, state, ...numbers.map(String)]);
      });
      await Promise.all(runs);
      await mount.umount();

      const models = states.map((state) => fs.readFileSync(state));
      const expected = Buffer.from(pair.plaintext);
      for (let at = 0; at < expected.length; at += stripeBytes) {
        const owner = Math.floor(at / stripeBytes) % WRITERS;
        models[owner]!.copy(expected, at, at, at + stripeBytes);
      }
      const again = await mountVolume(t, pair, { args: ['--read-only'] });
      t.ok(fs.readFileSync(again.file).equals(expected), 'every byte is what its own writer wrote last');
    });
  }
}
