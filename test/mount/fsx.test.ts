/**
 * 100,000 random operations on a mount against a plain buffer, for each sector size: unaligned, overlapping,
 * concurrent, through the page cache, direct I/O and mappings. Then fewer of them where the page cache delays
 * writes, and where there is none and every operation reaches the daemon as it is.
 */
import fs from 'node:fs';
import t from 'tap';
import { decryptPayload, makePair } from '../kit/cryptsetup.js';
import { mountVolume } from '../kit/luksfuse.js';
import { ModelRun } from '../kit/model-run.js';
import { seededRandom } from '../kit/random.js';
import { skipUnless } from '../kit/requirements.js';

const MiB = 1024 * 1024;

const ROWS = [
  { sectorSizeBytes: 512, cache: 'auto', operations: 100_000 },
  { sectorSizeBytes: 4096, cache: 'auto', operations: 100_000 },
  { sectorSizeBytes: 512, cache: 'writeback', operations: 20_000 },
  { sectorSizeBytes: 4096, cache: 'writeback', operations: 20_000 },
  { sectorSizeBytes: 512, cache: 'none', operations: 20_000 },
  { sectorSizeBytes: 4096, cache: 'none', operations: 20_000 },
] as const;

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });

for (const { sectorSizeBytes, cache, operations } of ROWS) {
  t.test(`sectors of ${sectorSizeBytes}, cache ${cache}`, { skip, timeout: 240_000 }, async (t) => {
    const random = seededRandom((line) => t.comment(line));
    const pair = await makePair(t, { type: 'luks2', sectorSizeBytes, sizeBytes: 8 * MiB });
    const model = Buffer.from(pair.plaintext);
    const mount = await mountVolume(t, pair, { args: ['--cache', cache] });

    const run = await ModelRun.open({ file: mount.file, model, random, cache });
    try {
      await run.do(operations);
    } finally {
      await run.close();
    }
    t.ok(fs.readFileSync(mount.file).equals(model), 'the mount holds what the model holds');
    await mount.umount();

    const again = await mountVolume(t, pair, { args: ['--read-only'] });
    t.ok(fs.readFileSync(again.file).equals(model), 'so does a second mount');
    await again.umount();
    t.ok((await decryptPayload(pair)).equals(model), 'and cryptsetup agrees');
  });
}
