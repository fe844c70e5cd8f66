/**
 * The command line of attach and detach: what is refused, what is printed, what is noted; against a scripted peer, and
 * against a QEMU without a guest that takes what is printed.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { QmpClient } from '../../lib/qmp/client.js';
import { luksfuse, mountVolume, mustLuksfuse } from '../kit/luksfuse.js';
import { waitUntil } from '../kit/processes.js';
import { createImage } from '../kit/qemu.js';
import { fakeMachine, startQmpPeer } from '../kit/qmp-peer.js';
import { skipUnless } from '../kit/requirements.js';
import { makeTempDir } from '../kit/temp.js';
import { makeVolume } from '../kit/volume.js';

const MiB = 1024 * 1024;
const skip = skipUnless({ root: true, fuse: true });
const qemuSkip = skip || skipUnless({ tools: ['qemu-system-x86_64', 'qemu-img'] });

/** QEMU that waits for its first instruction; ended with the test. */
async function startQemu(t: Test, args: readonly string[]): Promise<string> {
  const socket = path.join(makeTempDir(t), 'qmp');
  const base = ['-S', '-machine', 'q35,accel=tcg', '-nodefaults', '-display', 'none'];
  const monitor = ['-qmp', `unix:${socket},server=on,wait=off`];
  const port = ['-device', 'pcie-root-port,id=port1'];
  const qemu = spawn('qemu-system-x86_64', [...base, ...port, ...monitor, ...args], { stdio: 'inherit' });
  const exit = once(qemu, 'exit');
  t.teardown(async () => {
    qemu.kill('SIGKILL');
    await exit;
  });
  await waitUntil('QEMU has a monitor', () => fs.existsSync(socket) || qemu.exitCode !== null);
  return socket;
}

async function queryBlock(socket: string): Promise<string> {
  const monitor = await QmpClient.connect(socket);
  try {
    return JSON.stringify(await monitor.execute({ execute: 'query-block' }));
  } finally {
    monitor.close();
  }
}

t.test('what is refused before any VM is spoken to', { skip }, async (t) => {
  const volume = await makeVolume(t, MiB);
  const { mountpoint, umount } = await mountVolume(t, volume);
  for (const [args, code, reason] of [
    [['attach', mountpoint], 1, /give one of --qmp, --libvirt and --print/],
    [['attach', mountpoint, '--print', '--qmp', 'x'], 1, /give one of/],
    [['attach', mountpoint, '--libvirt', 'x', '--qmp', 'x'], 1, /cannot be used with/],
    [['attach', mountpoint, '--print', '--id', '1x'], 1, /a letter first/],
    [['attach', mountpoint, '--print', '--serial', 'a b'], 1, /visible ASCII/],
    [['attach', mountpoint, '--print', '--queues', '0'], 1, /1 to 1024/],
    [['attach', mountpoint, '--print', '--aio', 'native', '--cache', 'writeback'], 1, /needs --cache none/],
    [['attach', mountpoint, '--print', '--discard', 'unmap'], 1, /mount it with --allow-discards/],
    [['attach', mountpoint, '--print', '--detect-zeroes', 'unmap'], 1, /Allowed choices/],
    [['attach', mountpoint, '--print', '--key-file', volume.keyFile], 1, /are for --native/],
    [['attach', volume.dir, '--print'], 1, /nothing is mounted/],
    [['attach', mountpoint, '--qmp', path.join(volume.dir, 'none')], 4, /ENOENT/],
    [['attach', mountpoint, '--native', '--key-file', volume.keyFile, '--qmp', 'x'], 5, /unmount it/],
    [['attach', mountpoint, '--native', '--key-file', volume.keyFile, '--print'], 4, /LUKS1 only/],
    [['detach', mountpoint], 1, /not known to be attached/],
  ] as const) {
    const result = await luksfuse(args);
    t.equal(result.code, code, args.join(' '));
    t.match(result.stderr, reason);
  }
  await umount();
});

t.test('what is attached is noted, until it is detached', { skip }, async (t) => {
  const mount = await mountVolume(t, await makeVolume(t, MiB), { args: ['--read-only'] });
  const machine = fakeMachine();
  const peer = await startQmpPeer(t, machine.answer);
  const attach = ['attach', '--json', mount.mountpoint, '--qmp', peer.socket];
  const { stdout } = await mustLuksfuse([...attach, '--id', 'one']);
  const expected = { id: 'one', monitor: { kind: 'qmp', address: peer.socket }, file: mount.file };
  t.strictSame(JSON.parse(stdout.toString()), expected);
  t.equal(peer.requests.find(({ execute }) => execute === 'blockdev-add')?.arguments?.['read-only'], true);
  await mustLuksfuse([...attach, '--id', 'two', '--device', 'scsi-hd']);
  t.equal((await luksfuse([...attach, '--id', 'two'])).code, 5, 'not twice');
  const status = (await mustLuksfuse(['status', mount.mountpoint])).stdout.toString();
  t.match(status, /^attached: +as one to the VM at .*\nattached: +as two to the VM at /m);
  const which = await luksfuse(['detach', mount.mountpoint]);
  t.equal(which.code, 1);
  t.match(which.stderr, /one at .*, two at .*; give --id/);
  for (const id of ['one', 'two']) await mustLuksfuse(['detach', mount.mountpoint, '--id', id]);
  t.ok(machine.isClean());
  await mustLuksfuse(['detach', mount.mountpoint, '--id', 'three', '--qmp', peer.socket]);
  await mustLuksfuse([...attach, '--id', 'four']);
  await mount.umount();
  t.equal((await luksfuse(['detach', mount.mountpoint])).code, 1, 'unmounting forgets');
});

t.test('a QEMU starts with what is printed, and takes what is attached', { skip: qemuSkip }, async (t) => {
  const volume = await makeVolume(t, MiB);
  const mount = await mountVolume(t, volume, { args: ['--allow-discards'] });
  const forms = async (...args: string[]) => {
    const printed = await mustLuksfuse([
      'attach',
      '--print',
      '--json',
      mount.mountpoint,
      '--id',
      'd',
      ...args,
    ]);
    return JSON.parse(printed.stdout.toString());
  };
  for (const args of [
    ['--cache', 'writethrough', '--queues', '3', '--detect-zeroes', 'on'],
    ['--device', 'scsi-hd', '--queues', '2', '--block-size', '4096', '--aio', 'threads', '--serial', 'a,b'],
  ]) {
    await t.test(args.join(' '), async (t) => {
      const { commandLine } = await forms(...args);
      const [{ inserted }] = JSON.parse(await queryBlock(await startQemu(t, commandLine)));
      const isThrough = args.includes('writethrough');
      const cache = { writeback: !isThrough, direct: !isThrough, 'no-flush': false };
      t.match(inserted, { file: mount.file, cache });
    });
  }
  const { qmp, libvirt } = await forms('--device', 'scsi-hd', '--bus', 'port1', '--read-only');
  t.match(libvirt, /^<disk [\s\S]*discard='unmap'[\s\S]*bus='scsi'[\s\S]*<readonly\/>\n<\/disk>$/);
  t.match(
    (await forms()).libvirt,
    /cache='none' io='native' discard='ignore'/,
    'virtio cannot do without zeroing',
  );
  const socket = await startQemu(t, []);
  const monitor = await QmpClient.connect(socket);
  for (const command of qmp) await monitor.execute(command);
  monitor.close();
  t.match(await queryBlock(socket), new RegExp(`"file":"${mount.file}"`));
});

t.test('detaching from a VM that is gone', { skip: qemuSkip }, async (t) => {
  const mount = await mountVolume(t, await makeVolume(t, MiB));
  await t.test('attach, and end', async (t) => {
    const socket = await startQemu(t, []);
    await mustLuksfuse(['attach', mount.mountpoint, '--qmp', socket, '--id', 'mine']);
  });
  const { stdout } = await mustLuksfuse(['detach', mount.mountpoint, '--json']);
  t.match(JSON.parse(stdout.toString()), { id: 'mine', isVmGone: true });
  await mount.umount();
});

t.test("QEMU's own driver, on the same LUKS1 payload", { skip: qemuSkip }, async (t) => {
  const dir = makeTempDir(t);
  const file = (name: string) => path.join(dir, name);
  fs.writeFileSync(file('key'), 'native');
  await createImage(file('image'), file('key'), { sizeBytes: MiB });
  const socket = await startQemu(t, []);
  const args = ['attach', file('image'), '--native', '--key-file', file('key')];
  await mustLuksfuse([...args, '--qmp', socket]);
  const seen = await queryBlock(socket);
  t.match(seen, /"encrypted":true/);
  t.notMatch(seen, /native/, 'the passphrase is nowhere');
  const held = await luksfuse(['detach', file('image'), '--timeout', '1']);
  t.equal(held.code, 5, 'no guest is there to let go of it');
  t.match(held.stderr, /does not let go of luksfuse-/);

  const printed = (await mustLuksfuse([...args, '--print'])).stdout.toString();
  t.match(printed, /^-object secret,id=luksfuse-.*-key,file=.*key \\$/m);
  t.notMatch(printed, /# libvirt/);
  const detached = await makeVolume(t, MiB, ['--type', 'luks1']);
  const pair = [
    'attach',
    detached.payload,
    '--native',
    '--header',
    detached.header,
    '--key-file',
    detached.keyFile,
  ];
  const old = await luksfuse([...pair, '--qmp', socket]);
  t.ok(old.code === 0 || /need 9/.test(old.stderr), old.stderr);
  t.match((await mustLuksfuse([...pair, '--print'])).stdout.toString(), /"header":"luksfuse-.*-header"/);
});
