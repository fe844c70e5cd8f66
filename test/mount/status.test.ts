import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { luksfuse, mountVolume, mustLuksfuse } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });

t.test('list and status tell what is mounted and what it has done', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', pbkdf: 'pbkdf2' });
  const { plaintext } = pair;
  const relative = { header: path.relative('', pair.header!), payload: path.relative('', pair.payload) };
  const mountpoint = fs.mkdtempSync(path.join(path.dirname(pair.payload), 'mountpoint-'));
  const args = ['--no-supervise'];
  const mounted = await mountVolume(t, { ...pair, ...relative }, { mountpoint, args });
  fs.readFileSync(mounted.file);
  const status = JSON.parse((await mustLuksfuse(['status', '--json', mounted.mountpoint])).stdout.toString());
  t.equal(status.mountpoint, mounted.mountpoint);
  t.equal(status.file, mounted.file);
  t.equal(status.payload, pair.payload, 'absolute, since the daemon works elsewhere');
  t.equal(status.header, pair.header);
  t.equal(status.cipher, 'aes-xts-plain64');
  t.equal(status.driver, 'dev-fuse');
  t.equal(status.supervisorPid, null);
  t.equal(status.sizeBytes, plaintext.length);
  t.ok(status.activity.readBytes >= plaintext.length, 'counts what was read');
  t.ok(status.activity.requests > 4);
  t.equal(status.activity.errors, 0);
  t.ok(status.activity.reads > 0 && status.activity.reads < status.activity.requests);
  t.equal(status.activity.writtenBytes, 0);
  t.equal(status.activity.writes, 0);

  const { mounts } = JSON.parse((await mustLuksfuse(['list', '--json'])).stdout.toString());
  t.ok(mounts.some(({ pid }: { pid: number }) => pid === status.pid));
  const text = (await mustLuksfuse(['status', mounted.mountpoint])).stdout.toString();
  t.match(text, new RegExp(`UUID: +${status.uuid}`));

  process.kill(status.pid, 'SIGKILL');
  const dead = await luksfuse(['status', mounted.mountpoint]);
  t.equal(dead.code, 4);
  t.match(dead.stderr.toString(), /clear the mount with/);
});

t.test('where nothing is mounted', { skip }, async (t) => {
  t.equal((await luksfuse(['status', t.testdir()])).code, 1);
});
