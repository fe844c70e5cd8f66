/**
 * QEMU's own tools on the mounted file, with each way of caching.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { mountVolume } from '../kit/luksfuse.js';
import { waitUntil } from '../kit/processes.js';
import { Random } from '../kit/random.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun } from '../kit/run.js';
import { makeVolume } from '../kit/volume.js';

const MiB = 1024 * 1024;
const SIZE_BYTES = 8 * MiB;
const skip = skipUnless({ root: true, fuse: true, tools: ['qemu-img', 'qemu-io', 'qemu-nbd'] });

t.test('qemu-img, qemu-io and qemu-nbd', { skip }, async (t) => {
  const volume = await makeVolume(t, SIZE_BYTES, ['--sector-size', '4096']);
  const mount = await mountVolume(t, volume);
  const [source, copy, socket] = ['source', 'copy', 'nbd'].map((name) => path.join(volume.dir, name));
  const model = new Random(3).bytes(SIZE_BYTES);
  model.fill(0, MiB, 2 * MiB);
  fs.writeFileSync(source!, model);
  for (const cache of ['none', 'writeback', 'directsync']) {
    await t.test(`cache=${cache}`, async (t) => {
      const raw = ['-f', 'raw', '-O', 'raw'];
      await mustRun('qemu-img', ['convert', '-n', '-t', cache, '-W', '-m', '8', ...raw, source!, mount.file]);
      t.ok(fs.readFileSync(mount.file).equals(model), 'converted into the mount, zeros included');
      await mustRun('qemu-img', ['convert', '-T', cache, ...raw, mount.file, copy!]);
      t.ok(fs.readFileSync(copy!).equals(model), 'and out of it');

      // Small writes, zeroing that may unmap, a flush; and the discard that is refused is no error.
      const commands = [
        'write -P 7 1536 1024',
        'write -z -u 64k 32k',
        'discard 1M 1M',
        'flush',
        'read -P 7 1536 1k',
      ];
      const args = [
        '-t',
        cache,
        '-f',
        'raw',
        '-d',
        'unmap',
        ...commands.flatMap((one) => ['-c', one]),
        mount.file,
      ];
      const { stdout } = await mustRun('qemu-io', args);
      t.notMatch(stdout.toString(), /failed|mismatch/);
      const changed = Buffer.from(model);
      changed.fill(7, 1536, 2560).fill(0, 65536, 98304);
      t.ok(fs.readFileSync(mount.file).equals(changed));

      const serve = ['-t', '-f', 'raw', `--cache=${cache}`, '-k', socket!, mount.file];
      const nbd = spawn('qemu-nbd', serve, { stdio: 'inherit' });
      const exit = once(nbd, 'exit');
      t.teardown(() => nbd.kill('SIGKILL'));
      await waitUntil('qemu-nbd listens', () => fs.existsSync(socket!));
      const url = `nbd+unix:///?socket=${socket}`;
      await mustRun('qemu-img', ['convert', '-n', ...raw, source!, url]);
      await mustRun('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', source!, url]);
      nbd.kill('SIGTERM');
      await exit;
      t.ok(fs.readFileSync(mount.file).equals(model), 'what came by NBD is there');
    });
  }
  await mount.umount();
});
