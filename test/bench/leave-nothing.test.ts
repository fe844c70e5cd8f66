/**
 * The bench leaves nothing, whatever ends it: neither mounts nor those who serve or use them.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { mountVolume } from '../kit/luksfuse.js';
import { findMount } from '../kit/mounts.js';
import { skipUnless } from '../kit/requirements.js';
import { leaveNothing } from './leave-nothing.js';

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup', 'tail'] });

t.test('a mount whose file is in use', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2' });
  const { mountpoint, file } = await mountVolume(t, pair);
  const reader = spawn('tail', ['-f', file], { stdio: 'ignore' });
  const exit = once(reader, 'exit');
  await once(reader, 'spawn');
  await leaveNothing(path.dirname(pair.payload));
  t.strictSame(await exit, [null, 'SIGTERM']);
  t.equal(findMount(mountpoint), null);
  t.notOk(fs.existsSync(pair.payload));
});
