/**
 * Plugging in and out against a scripted peer: the order, what is undone when a step fails, and peers that misbehave.
 */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { QmpClient } from '../../../lib/qmp/client.js';
import type { Disk } from '../../../lib/qmp/disk.js';
import { plugDisk, unplugDisk } from '../../../lib/qmp/hotplug.js';
import { VirshMonitor } from '../../../lib/qmp/virsh.js';
import { fakeMachine, type QmpRequest, type Reply, startQmpPeer } from '../../kit/qmp-peer.js';
import { makeTempDir } from '../../kit/temp.js';

const DISK: Disk = {
  id: 'd',
  source: { kind: 'plain', file: '/mnt/payload' },
  device: 'virtio-blk',
  bus: null,
  serial: 's',
  queueCount: null,
  isReadOnly: false,
  cache: 'none',
  aio: 'native',
  passesDiscards: false,
  detectZeroes: 'off',
  logicalBlockBytes: 512,
  physicalBlockBytes: 4096,
};
const NATIVE: Disk = { ...DISK, source: { kind: 'luks', file: '/p', header: '/h', keyFile: '/k' } };
const SCSI: Disk = { ...DISK, device: 'scsi-hd' };

async function connect(t: Test, answer: (request: QmpRequest) => Reply | Reply[]) {
  const peer = await startQmpPeer(t, answer);
  const monitor = await QmpClient.connect(peer.socket);
  t.teardown(() => monitor.close());
  return { monitor, requests: peer.requests };
}

const changes = (requests: readonly QmpRequest[]) =>
  requests.map(({ execute }) => execute).filter((name) => /add|del/.test(name));

t.test('in and out, in order', async (t) => {
  for (const [disk, inward, outward] of [
    [DISK, 'blockdev-add blockdev-add device_add', 'device_del blockdev-del blockdev-del'],
    [
      SCSI,
      'blockdev-add blockdev-add device_add device_add',
      'device_del device_del blockdev-del blockdev-del',
    ],
    [
      NATIVE,
      'object-add blockdev-add blockdev-add blockdev-add device_add',
      'device_del blockdev-del blockdev-del blockdev-del object-del',
    ],
  ] as const) {
    const machine = fakeMachine(undefined, 9);
    const { monitor, requests } = await connect(t, machine.answer);
    await plugDisk(monitor, disk);
    t.equal(changes(requests).join(' '), inward);
    const last = requests.at(disk === SCSI ? -2 : -1)!;
    t.equal(last.arguments?.bus, 'port1', 'in the free port');
    await t.rejects(plugDisk(monitor, disk), { code: 'BUSY' }, 'not twice');
    requests.length = 0;
    await unplugDisk(monitor, 'd', { timeoutMs: 1000 });
    t.equal(changes(requests).join(' '), outward);
    t.ok(machine.isClean());
    await unplugDisk(monitor, 'd', { timeoutMs: 1000 });
  }
});

t.test('whichever step fails, nothing is left', async (t) => {
  for (const disk of [DISK, SCSI, NATIVE]) {
    for (let failing = 1; ; failing += 1) {
      let step = 0;
      const refuse = ({ execute }: QmpRequest) => {
        if (!/add/.test(execute)) return undefined;
        step += 1;
        return step === failing ? `no step ${failing}` : undefined;
      };
      const machine = fakeMachine(refuse, 9);
      const { monitor } = await connect(t, machine.answer);
      const error = await plugDisk(monitor, disk).then(
        () => null,
        (error: Error) => error,
      );
      if (error === null) break;
      t.match(error, { code: 'DEVICE_IO', message: new RegExp(`refuses .*: no step ${failing}$`) });
      t.ok(machine.isClean(), `nothing is left after step ${failing} failed`);
    }
  }
});

t.test('an old QEMU and a full machine are told apart, with a cure', async (t) => {
  const old = await connect(t, fakeMachine().answer);
  await t.rejects(plugDisk(old.monitor, NATIVE), { code: 'UNSUPPORTED', message: /version 7.*need 9/ });
  t.equal(changes(old.requests).length, 0);
  const full = fakeMachine(({ execute }) =>
    execute === 'device_add' ? "Bus 'pcie.0' does not support hotplugging" : undefined,
  );
  const { monitor } = await connect(t, full.answer);
  await t.rejects(plugDisk(monitor, DISK), { message: /free pcie-root-port, or name one with --bus/ });
  t.ok(full.isClean());
});

t.test('a guest that holds on, and one that says no', async (t) => {
  const silent = fakeMachine();
  const answerDel = (reply: Reply | Reply[]) => (request: QmpRequest) =>
    request.execute === 'device_del' ? reply : silent.answer(request);
  const { monitor } = await connect(t, answerDel({ return: {} }));
  await plugDisk(monitor, DISK);
  await t.rejects(unplugDisk(monitor, 'd', { timeoutMs: 50 }), { code: 'BUSY', message: /0.05 s/ });
  t.ok(silent.nodes.has('d-disk'), 'the nodes stay under the device');
  const no = [{ return: {} }, { event: 'DEVICE_UNPLUG_GUEST_ERROR', data: { device: 'd' } }];
  const second = await connect(t, answerDel(no));
  await t.rejects(unplugDisk(second.monitor, 'd', { timeoutMs: 5000 }), { code: 'BUSY', message: /refuses/ });
});

t.test('a node that is in use a moment longer', async (t) => {
  let refusals = 3;
  const machine = fakeMachine(({ execute }) =>
    execute === 'blockdev-del' && refusals-- > 0 ? 'Node is in use' : undefined,
  );
  const { monitor } = await connect(t, machine.answer);
  await plugDisk(monitor, DISK);
  await unplugDisk(monitor, 'd', { timeoutMs: 1000 });
  t.ok(machine.isClean());
});

t.test('peers that are none', async (t) => {
  const greeted = async (greeting: Reply, greetingMs = 20_000) => {
    const { socket } = await startQmpPeer(t, () => ({ return: {} }), greeting);
    return QmpClient.connect(socket, greetingMs);
  };
  await t.rejects(greeted('', 200), { code: 'BUSY', message: /another client may have its monitor/ });
  await t.rejects(greeted('SSH-2.0-x'), { code: 'DEVICE_IO', message: /does not speak QMP/ });
  await t.rejects(greeted(null), { code: 'DEVICE_IO', message: /has ended the connection/ });
  await t.rejects(greeted('x'.repeat(17 * 1024 * 1024)), {
    code: 'DEVICE_IO',
    message: /without an end|QMP/,
  });
  const missing = path.join(makeTempDir(t), 'none');
  await t.rejects(QmpClient.connect(missing), { code: 'DEVICE_IO', message: /ENOENT/ });
  fs.writeFileSync(missing, '');
  await t.rejects(QmpClient.connect(missing), { code: 'DEVICE_IO', message: /ECONNREFUSED/ });
});

t.test('a connection that ends amid a command', async (t) => {
  const { monitor } = await connect(t, ({ execute }) => (execute === 'query-pci' ? null : { return: [] }));
  await t.rejects(plugDisk(monitor, DISK), { code: 'DEVICE_IO', message: /has ended the connection/ });
  await t.rejects(monitor.execute({ execute: 'x' }), { code: 'DEVICE_IO' }, 'and stays ended');
});

t.test('an error without an id is the answer', async (t) => {
  const { monitor } = await connect(t, () => '{"error":{"class":"GenericError","desc":"JSON parse error"}}');
  await t.rejects(monitor.execute({ execute: 'x' }), { message: /refuses x: JSON parse error/ });
});

/** A virsh that hands commands to the peer: the words that the real one takes. */
const VIRSH = `#!/usr/bin/env node
const net = require('node:net');
const [command, dashes, domain, text] = process.argv.slice(2);
if (command !== 'qemu-monitor-command' || dashes !== '--') process.exit(7);
if (domain !== 'vm') {
  console.error("error: failed to get domain '" + domain + "'");
  process.exit(1);
}
const socket = net.connect(process.env.PEER);
const lines = require('node:readline').createInterface({ input: socket });
lines.on('line', (line) => {
  if (line.includes('"QMP"')) socket.write(text + '\\n');
  else if (!line.includes('"event"')) {
    console.log(line);
    process.exit(0);
  }
});
`;

t.test('the same by way of virsh', async (t) => {
  const dir = makeTempDir(t);
  const before = { ...process.env };
  t.teardown(() => Object.assign(process.env, { PATH: before.PATH }));
  process.env.PATH = dir;
  await t.rejects(VirshMonitor.connect('vm'), { code: 'UNSUPPORTED', message: /install libvirt-clients/ });
  fs.writeFileSync(path.join(dir, 'virsh'), VIRSH.replace('/usr/bin/env node', process.execPath), {
    mode: 0o755,
  });
  const machine = fakeMachine(({ execute, arguments: args }) =>
    execute === 'device_add' && args?.id === 'bad' ? 'no' : undefined,
  );
  process.env.PEER = (await startQmpPeer(t, machine.answer)).socket;
  t.teardown(() => delete process.env.PEER);
  await t.rejects(VirshMonitor.connect('other'), {
    code: 'DEVICE_IO',
    message: /failed to get domain 'other'/,
  });
  const monitor = await VirshMonitor.connect('vm');
  await plugDisk(monitor, DISK);
  t.ok(machine.devices.has('d'));
  await t.rejects(plugDisk(monitor, { ...DISK, id: 'bad' }), { message: /domain vm refuses device_add: no/ });
  await unplugDisk(monitor, 'd', { timeoutMs: 5000 });
  t.ok(machine.isClean());
});

t.test('a virsh that hangs, whatever signals it ignores', async (t) => {
  const dir = makeTempDir(t);
  const before = process.env.PATH!;
  t.teardown(() => Object.assign(process.env, { PATH: before }));
  fs.writeFileSync(path.join(dir, 'virsh'), "#!/bin/sh\ntrap '' TERM\nexec sleep 1000000\n", { mode: 0o755 });
  process.env.PATH = `${dir}:${before}`;
  await t.rejects(VirshMonitor.connect('vm', 500), {
    code: 'DEVICE_IO',
    message: /domain vm cannot be reached: virsh was not done in 0.5 s/,
  });
});
