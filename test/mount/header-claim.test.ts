import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { luksfuse, mustLuksfuse, unlockArgs } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { makeTempDir } from '../kit/temp.js';

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });
const cheap = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];

for (const isAttached of [false, true]) {
  const which = isAttached ? 'attached' : 'detached';
  t.test(`a mounted volume's ${which} header gets keys, and is not destroyed`, { skip }, async (t) => {
    const pair = await makePair(t, { type: 'luks2', pbkdf: 'pbkdf2', sizeBytes: 1024 * 1024, isAttached });
    const dir = makeTempDir(t);
    const mountpoint = path.join(dir, 'mnt');
    const newKey = path.join(dir, 'new');
    fs.mkdirSync(mountpoint);
    fs.writeFileSync(newKey, 'another passphrase');
    await mustLuksfuse(['mount', ...unlockArgs(pair), pair.payload, mountpoint]);

    await mustLuksfuse(['add-key', pair.headerFile, '-d', pair.keyFile, ...cheap, '--new-key-file', newKey]);
    for (const command of [
      ['erase', '-q'],
      ['convert', '-q', '--type', 'luks1'],
      ['format', '-q', '-d', newKey, ...cheap],
    ]) {
      const refused = await luksfuse([...command, pair.headerFile]);
      t.equal(refused.code, 5, command.join(' '));
      t.match(refused.stderr.toString(), /in use by process \d+/);
    }
    await mustLuksfuse(['umount', mountpoint]);
    await mustLuksfuse(['test-key', pair.headerFile, '-d', newKey]);
    await mustLuksfuse(['erase', '-q', pair.headerFile]);
  });
}
