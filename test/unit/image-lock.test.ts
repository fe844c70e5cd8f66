import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { Device } from '../../lib/device.js';
import { lockImage } from '../../lib/image-lock.js';
import { waitUntil } from '../kit/processes.js';
import { skipUnless } from '../kit/requirements.js';

/** How /proc/locks ends a lock's file: `:inode start`; 100 is the first byte that QEMU locks. */
function lockedInode(file: string): string {
  return `:${fs.statSync(file).ino} 100`;
}

/** An image, and a way to claim it whose descriptors the test closes. */
function newImage(t: { testdir(): string; teardown(work: () => void): void }) {
  const file = path.join(t.testdir(), 'image');
  fs.writeFileSync(file, Buffer.alloc(65536));
  const claim = (role: 'reader' | 'writer') => {
    const device = Device.open(file, { isReadOnly: role === 'reader' });
    t.teardown(() => device.close());
    lockImage(device, role);
    return device;
  };
  return { file, claim };
}

t.test('one writer, or any number of readers', async (t) => {
  const { claim } = newImage(t);
  const readers = [claim('reader'), claim('reader')];
  t.throws(() => claim('writer'), { code: 'BUSY' });
  for (const reader of readers) reader.close();
  const writer = claim('writer');
  t.throws(() => claim('writer'), { code: 'BUSY' });
  t.throws(() => claim('reader'), { code: 'BUSY', message: /being written/ });
  writer.close();
  t.ok(claim('reader'), 'the claim ends with the descriptor');
});

t.test('a reader that cannot become a writer is still a reader', async (t) => {
  const { claim } = newImage(t);
  const [reader, other] = [claim('reader'), claim('reader')];
  t.throws(() => lockImage(reader, 'writer'), { code: 'BUSY' });
  other.close();
  t.throws(() => claim('writer'), { code: 'BUSY' });
  lockImage(reader, 'writer');
  lockImage(reader, 'reader');
  t.throws(() => claim('reader'), { code: 'BUSY' }, 'and one that became a writer stays one');
});

t.test('QEMU sees our claims and we see its', { skip: skipUnless({ tools: ['qemu-io'] }) }, async (t) => {
  const { file, claim } = newImage(t);
  const qemuIo = (...args: string[]) => promisify(execFile)('qemu-io', ['-f', 'raw', ...args, file]);
  const writer = claim('writer');
  await t.rejects(qemuIo('-c', 'write 0 512'), /lock/);
  await t.rejects(qemuIo('-r', '-c', 'read 0 512'), /lock/);
  writer.close();
  const reader = claim('reader');
  await t.rejects(qemuIo('-c', 'write 0 512'), /lock/);
  await t.resolves(qemuIo('-r', '-c', 'read 0 512'));
  reader.close();

  const holder = spawn('qemu-io', ['-f', 'raw', '-c', 'sleep 60000', file]);
  t.teardown(() => holder.kill());
  await waitUntil('qemu-io has its locks', () =>
    fs.readFileSync('/proc/locks', 'utf8').includes(lockedInode(file)),
  );
  t.throws(() => claim('writer'), { code: 'BUSY', message: new RegExp(`process ${holder.pid}`) });
  t.throws(() => claim('reader'), { code: 'BUSY' });
  holder.kill();
  await once(holder, 'close');
  t.ok(claim('writer'));
});
