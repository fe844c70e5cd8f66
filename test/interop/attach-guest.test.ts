/**
 * A mount's plaintext plugged into a running VM: its kernel makes a file system on it, fills, trims and lets go of it,
 * and this machine finds what it wrote. That the kernel's dm-crypt and we read each other is in dm-crypt.test.ts.
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { bootGuest } from '../kit/guest.js';
import { startHotplugGuest } from '../kit/hotplug-guest.js';
import { EXIT_MARK, NEXT_ROOT } from '../kit/initramfs.js';
import { luksfuse, mountVolume, mustLuksfuse } from '../kit/luksfuse.js';
import { requireHolder } from '../kit/processes.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun } from '../kit/run.js';
import { makeVolume } from '../kit/volume.js';

const MiB = 1024 * 1024;
const skip = skipUnless({
  root: true,
  fuse: true,
  loop: true,
  guest: true,
  tools: ['mkfs.ext4', 'fsck.ext4', 'e2fsck', 'debugfs', 'fstrim', 'blkdiscard', 'mount'],
});

/** From an empty disk to one with files that is let go of. */
const USE_DISK = (disk: string) => `
await -e /sys/block/${disk}
cd /sys/block/${disk}
echo "blocks $(cat queue/logical_block_size) $(cat queue/physical_block_size)"
echo "discards $([ $(cat queue/discard_max_bytes) -gt 0 ] && echo yes || echo no)"
echo "zeroing $([ $(cat queue/write_zeroes_max_bytes) -gt 0 ] && echo yes || echo no)"
echo "write cache $(cat queue/write_cache)"
cd /
dd if=/dev/urandom of=/dev/${disk} bs=1M count=4 2>/dev/null
/bin/blkdiscard -z -o 1M -l 1M /dev/${disk} || exit 2
[ "$(dd if=/dev/${disk} bs=1M skip=1 count=1 iflag=direct 2>/dev/null | tr -d '\\0' | wc -c)" = 0 ] && echo "zeros are zeros"
mkfs.ext4 -q -E nodiscard /dev/${disk} || exit 3
mkdir -p /mnt && mount -t ext4 /dev/${disk} /mnt || exit 4
dd if=/dev/urandom of=/mnt/gone bs=1M count=12 2>/dev/null
dd if=/dev/urandom of=/mnt/kept bs=1M count=2 2>/dev/null
sync && rm /mnt/gone && sync
/bin/fstrim /mnt || echo "fstrim is refused"
umount /mnt && mount -t ext4 -o ro /dev/${disk} /mnt || exit 5
sha256sum </mnt/kept
umount /mnt || exit 6
echo done
`;

interface Row {
  device: 'virtio-blk' | 'scsi-hd';
  disk: string;
  sectorSize: number;
  args: string[];
  allowsDiscards: boolean;
  expected: string[];
}

const ROWS: readonly Row[] = [
  {
    device: 'virtio-blk',
    disk: 'vda',
    sectorSize: 4096,
    args: ['--block-size', '4096', '--queues', '2'],
    allowsDiscards: true,
    expected: ['blocks 4096 4096', 'discards yes', 'zeroing no', 'write cache write back'],
  },
  {
    device: 'scsi-hd',
    disk: 'sda',
    sectorSize: 512,
    args: ['--cache', 'directsync'],
    allowsDiscards: true,
    expected: ['blocks 512 512', 'discards yes', 'write cache write through'],
  },
  {
    device: 'virtio-blk',
    disk: 'vda',
    sectorSize: 512,
    args: ['--cache', 'writeback'],
    allowsDiscards: false,
    expected: ['blocks 512 512', 'discards no', 'zeroing yes', 'write cache write back', 'fstrim is refused'],
  },
];

for (const row of ROWS) {
  t.test(`${row.device}, sectors of ${row.sectorSize}, ${row.args.join(' ')}`, { skip }, async (t) => {
    const volume = await makeVolume(t, 64 * MiB, ['--sector-size', `${row.sectorSize}`]);
    const mount = await mountVolume(t, volume, { args: row.allowsDiscards ? ['--allow-discards'] : [] });
    const guest = await startHotplugGuest(t, {
      script: `${USE_DISK(row.disk)}\nawait ! -e /sys/block/${row.disk}\necho gone; sleep 2`,
      tools: ['mkfs.ext4', 'fstrim', 'blkdiscard'],
    });
    const attach = ['attach', mount.mountpoint, '--qmp', guest.qmp, '--device', row.device, ...row.args];
    const id = (await mustLuksfuse(attach)).stdout.toString().trim();
    await guest.says('done\n');
    t.equal(
      fs.statSync(volume.payload).blocks * 512 < 12 * MiB,
      row.allowsDiscards,
      'what was trimmed is a hole',
    );

    const refused = await luksfuse(['umount', mount.mountpoint]);
    t.equal(refused.code, 5);
    t.match(
      refused.stderr,
      new RegExp(`in use .*attached as ${id} to the VM at ${guest.qmp}; .*luksfuse detach`),
    );
    await mustLuksfuse(['detach', mount.mountpoint]);
    const { output, exitStatus } = await guest.ended;
    t.equal(exitStatus, 0, output);
    const lines = output.split('\n');
    t.strictSame(
      row.expected.filter((line) => !lines.includes(line)),
      [],
      output,
    );
    t.ok(lines.includes('zeros are zeros'));
    t.ok(lines.includes('gone'));

    const script = `fsck.ext4 -fn "$1" >/dev/null 2>&1 && mkdir "$2" && mount -o loop,ro "$1" "$2"
      trap 'umount "$2"' EXIT
      sha256sum < "$2/kept"`;
    const args = ['-ec', script, 'sh', mount.file, path.join(volume.dir, 'ext4')];
    const kept = (await mustRun('sh', args)).stdout.toString();
    t.ok(output.includes(kept), 'this machine finds the file that the guest wrote');
    await mount.umount();
  });
}

t.test('a VM that is killed leaves the mount in order', { skip }, async (t) => {
  const volume = await makeVolume(t, 32 * MiB);
  const mount = await mountVolume(t, volume);
  const guest = await startHotplugGuest(t, {
    script: `await -e /sys/block/vda
      mkfs.ext4 -q /dev/vda && mkdir /mnt && mount -t ext4 /dev/vda /mnt || exit 3
      echo synced > /mnt/kept && sync && echo ready
      while :; do dd if=/dev/urandom of=/mnt/load bs=64k count=64 conv=fsync 2>/dev/null; done`,
    tools: ['mkfs.ext4'],
  });
  await mustLuksfuse(['attach', mount.mountpoint, '--qmp', guest.qmp]);
  await guest.says('ready');
  process.kill(requireHolder(mount.file), 'SIGKILL');
  await t.rejects(guest.ended, /SIGKILL/);

  const script = `e2fsck -fy "$1" >/dev/null 2>&1 || [ $? = 1 ]; debugfs -R 'cat /kept' "$1" 2>/dev/null`;
  t.equal((await mustRun('sh', ['-ec', script, 'sh', mount.file])).stdout.toString(), 'synced\n');
  const { attachments } = JSON.parse(
    (await mustLuksfuse(['status', '--json', mount.mountpoint])).stdout.toString(),
  );
  t.equal(attachments.length, 1, 'the note is still there');
  await mount.umount();
  const again = await mountVolume(t, volume, { mountpoint: mount.mountpoint });
  const forgotten = await luksfuse(['detach', again.mountpoint]);
  t.equal(forgotten.code, 1, 'and went with the mount');
  await again.umount();
});

t.test('a VM that has its root file system on the plaintext', { skip }, async (t) => {
  const volume = await makeVolume(t, 32 * MiB, ['--sector-size', '4096']);
  const mount = await mountVolume(t, volume);
  const init = path.join(volume.dir, 'init');
  fs.writeFileSync(
    init,
    `#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox grep ' / ' /proc/mounts > /dev/ttyS1
/bin/busybox mount -o remount,rw / && echo 'written by init' > /etc/motd
echo "${EXIT_MARK} $?" > /dev/ttyS1
/bin/busybox sync
/bin/busybox mount -o remount,ro /
/bin/busybox reboot -f
`,
    { mode: 0o755 },
  );
  const root = path.join(volume.dir, 'root');
  const make = `r="$2" && mkdir -p "$r/bin" "$r/sbin" "$r/dev" "$r/proc" "$r/etc"
    cp "$(command -v busybox)" "$r/bin/busybox" && cp "$3" "$r/sbin/init"
    mkfs.ext4 -q -F -d "$r" "$1"`;
  await mustRun('sh', ['-ec', make, 'sh', mount.file, root, init]);

  const printed = await mustLuksfuse(['attach', mount.mountpoint, '--print', '--json', '--id', 'root']);
  const { commandLine } = JSON.parse(printed.stdout.toString());
  const { output, exitStatus } = await bootGuest(t, {
    script: `mkdir -p ${NEXT_ROOT} && mount -t ext4 -o ro /dev/vda ${NEXT_ROOT}`,
    qemuArgs: commandLine,
  });
  t.equal(exitStatus, 0, output);
  t.match(output, /^\/dev\/vda \/ ext4 ro/m);
  const { stdout } = await mustRun('debugfs', ['-R', 'cat /etc/motd', mount.file]);
  t.equal(stdout.toString(), 'written by init\n');
  await mount.umount();
});
