import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { ControlClient } from '../../../lib/mount/control.js';
import { openRuntimeDirectory, socketPathOf } from '../../../lib/mount/registry.js';
import { makeTempDir } from '../../kit/temp.js';

const LISTENER = `require('net').createServer().listen(process.argv[1], () => console.log('listens'))`;

t.test('a daemon that dies before it lets a visitor in is no daemon', async (t) => {
  const mountpoint = path.join(makeTempDir(t), 'mountpoint');
  openRuntimeDirectory();
  const daemon = spawn(process.execPath, ['-e', LISTENER, socketPathOf(mountpoint)]);
  t.teardown(() => {
    daemon.kill('SIGKILL');
    fs.rmSync(socketPathOf(mountpoint), { force: true });
  });
  await once(daemon.stdout, 'data');
  daemon.kill('SIGSTOP');
  const connecting = ControlClient.connect(mountpoint);
  await delay(50); // it is in the backlog by then, or will find nobody: null too
  daemon.kill('SIGKILL');
  t.equal(await connecting, null);
});
