import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { ControlClient, ControlServer } from '../../../lib/mount/control.js';
import { newSocketPath } from '../../../lib/mount/registry.js';

/** Asks often, and never reads what it is told. */
const ASKER = `
  const socket = require('net').connect(process.argv[1], () => {
    socket.pause();
    socket.write('{"upgrade": {}}\\n'.repeat(50), () => console.log('has asked'));
  });`;

const LISTENER = `require('net').createServer().listen(process.argv[1], () => console.log('listens'))`;

/** No kernel has so many. */
const CONNECTION = 2 ** 20;
const MOUNT = {
  ...{ mountpoint: '/mnt', source: '/payload', id: 2, parentId: 1 },
  ...{ connection: CONNECTION, ownerUid: process.getuid!() },
};

t.test('a daemon that dies before it lets a visitor in is no daemon', async (t) => {
  const socket = newSocketPath(CONNECTION);
  const daemon = spawn(process.execPath, ['-e', LISTENER, socket]);
  t.teardown(() => {
    daemon.kill('SIGKILL');
    fs.rmSync(socket, { force: true });
  });
  await once(daemon.stdout, 'data');
  daemon.kill('SIGSTOP');
  const connecting = ControlClient.connect(MOUNT);
  await delay(50); // it is in the backlog by then, or will find nobody: null too
  daemon.kill('SIGKILL');
  t.equal(await connecting, null);
});

t.test('a visitor that does not read its answers does not keep the daemon', async (t) => {
  const mount = { mountpoint: '/mnt', text: 'x'.repeat(100_000) };
  const control = await ControlServer.listen(CONNECTION, {
    describe: async () => mount as never,
    upgrade: async () => {},
    reencrypt: async () => {},
  });
  const visitor = spawn(process.execPath, ['-e', ASKER, newSocketPath(CONNECTION)]);
  t.teardown(() => visitor.kill('SIGKILL'));
  await once(visitor.stdout, 'data');
  visitor.kill('SIGSTOP');
  await control.close(null);
});
