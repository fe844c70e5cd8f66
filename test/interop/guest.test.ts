/**
 * The guest of the test kit itself: it boots, runs the script, sees its disks and says how it ended.
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { bootGuest } from '../kit/guest.js';
import { skipUnless } from '../kit/requirements.js';
import { makeTempDir } from '../kit/temp.js';

t.test('a guest runs a script over its disks', { skip: skipUnless({ guest: true }) }, async (t) => {
  const dir = makeTempDir(t);
  const disk = path.join(dir, 'disk');
  const second = path.join(dir, 'second');
  for (const file of [disk, second]) fs.writeFileSync(file, Buffer.alloc(65536));
  const script = `
    dd if=/greeting of=/dev/vda bs=512 seek=3 conv=fsync 2>/dev/null
    cat /sys/block/vda/size /sys/block/vdb/ro
    exit 7`;
  const disks = [{ file: disk }, { file: second, isReadOnly: true }];
  const result = await bootGuest(t, { script, disks, files: { '/greeting': 'from the guest' } });
  t.equal(result.output, '128\n1\n');
  t.equal(result.exitStatus, 7);
  t.equal(fs.readFileSync(disk).toString('utf8', 1536, 1550), 'from the guest');
});
