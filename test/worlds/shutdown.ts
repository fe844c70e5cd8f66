/**
 * What a real shutdown leaves behind: a guest with Debian 13 and systemd, the .deb installed in it, has volumes mounted by
 * the unit and by fstab, their payloads on a file system of their own; it writes, is powered off, and is looked at from
 * outside. Run by test/worlds/shutdown.sh; needs root.
 */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { bootGuest } from '../kit/guest.js';
import { requireGuestKernel } from '../kit/guest-kernel.js';
import { EXIT_MARK, NEXT_ROOT } from '../kit/initramfs.js';
import { mustLuksfuse, PROJECT_DIR, unlockArgs } from '../kit/luksfuse.js';
import { mustRun } from '../kit/run.js';
import { makeTempDir } from '../kit/temp.js';
import { makeVolume, type Volume } from '../kit/volume.js';

const MiB = 1024 * 1024;
const BOOT_MS = 600_000;

/**
 * How each volume is mounted, and what mounted the ext4 on it: a line of fstab, or somebody by hand, so that systemd does
 * not know what it stands on.
 */
const VOLUMES = {
  unit: { by: 'unit', data: 'hand' },
  fstab: { by: 'fstab', data: 'fstab' },
  hand: { by: 'fstab', data: 'hand' },
} as const;
type Name = keyof typeof VOLUMES;
const NAMES = Object.keys(VOLUMES) as Name[];

const mountpointOf = (name: Name) => (VOLUMES[name].by === 'unit' ? `/run/${name}` : `/mnt/${name}`);
const netdev = (name: Name) =>
  VOLUMES[name].by === 'unit' ? `x-systemd.requires=luksfuse@${name}.service` : '_netdev';

const FSTAB = [
  '/dev/vda / ext4 defaults 0 1',
  '/dev/vdb /srv ext4 defaults 0 2',
  ...NAMES.flatMap((name) => {
    const options = `header=/etc/luksfuse/${name}.header,key_file=/etc/luksfuse/${name}.key`;
    const mount = `/srv/${name}.img /mnt/${name} fuse.luksfuse ${options},nofail,_netdev,x-systemd.requires-mounts-for=/srv 0 0`;
    const data = `${mountpointOf(name)}/payload /data/${name} ext4 loop,nofail,${netdev(name)} 0 0`;
    return [
      ...(VOLUMES[name].by === 'fstab' ? [mount] : []),
      ...(VOLUMES[name].data === 'fstab' ? [data] : []),
    ];
  }),
];

/** Writes a file that is synced, then one that is not, and powers off. What follows must be in the images. */
const SCRIPT = `#!/bin/sh
exec >/dev/ttyS1 2>&1
${NAMES.filter((name) => VOLUMES[name].data === 'hand')
  .map((name) => `mount -o loop ${mountpointOf(name)}/payload /data/${name}`)
  .join('\n')}
findmnt -n -o TARGET,FSTYPE,SOURCE
systemd-cgls --no-pager --full | grep -B2 luksfuse
for name in ${NAMES.join(' ')}; do
  mountpoint -q /data/$name || echo "NOT MOUNTED $name"
  seq 1 20000 > /data/$name/synced && sync /data/$name/synced
  seq 1 200000 > /data/$name/unsynced
done
echo "${EXIT_MARK} 0"
systemctl poweroff --no-block
`;

async function makeDisks(t: Test, volumes: Record<Name, Volume>): Promise<{ root: string; srv: string }> {
  const dir = makeTempDir(t);
  const [root, srv, etc, payloads] = ['root', 'srv', 'etc', 'payloads'].map((name) =>
    path.join(dir, name),
  ) as [string, string, string, string];
  for (const made of [etc, payloads]) fs.mkdirSync(made);
  for (const name of NAMES) {
    const { header, keyFile, payload } = volumes[name];
    fs.copyFileSync(header, path.join(etc, `${name}.header`));
    fs.copyFileSync(keyFile, path.join(etc, `${name}.key`));
    fs.writeFileSync(
      path.join(etc, `${name}.conf`),
      `PAYLOAD=/srv/${name}.img\nMOUNTPOINT=/run/${name}\nOPTIONS=--header /etc/luksfuse/${name}.header\n`,
    );
    fs.renameSync(payload, path.join(payloads, `${name}.img`));
  }
  await mustRun('mke2fs', ['-q', '-t', 'ext4', '-d', payloads, srv, '512M']);
  const kernel = requireGuestKernel();
  const units = NAMES.filter((name) => VOLUMES[name].by === 'unit');
  const make = `
    umount -l $ROOT/proc $ROOT/sys $ROOT/dev $ROOT/run $ROOT/var/cache/apt/archives $ROOT/var/lib/apt/lists
    cp -r ${etc} $ROOT/etc/luksfuse && chmod 600 $ROOT/etc/luksfuse/*.key
    mkdir -p $ROOT/lib/modules $ROOT/srv ${NAMES.map((name) => `$ROOT/data/${name} $ROOT/mnt/${name}`).join(' ')}
    cp -r ${kernel.modulesDir} $ROOT/lib/modules/
    cp ${dir}/fstab $ROOT/etc/fstab
    install -m 755 ${dir}/script $ROOT/usr/local/sbin/shutdown-test
    cp ${dir}/shutdown-test.service $ROOT/etc/systemd/system/
    touch $ROOT/etc/.updated $ROOT/var/.updated
    mkdir -p $ROOT/etc/systemd/journald.conf.d $ROOT/etc/systemd/system.conf.d
    printf '[Manager]\\nDefaultTimeoutStartSec=10min\\nLogColor=no\\n' > $ROOT/etc/systemd/system.conf.d/slow.conf
    printf '[Journal]\\nStorage=volatile\\nForwardToConsole=yes\\nMaxLevelConsole=info\\nTTYPath=/dev/ttyS0\\n' > $ROOT/etc/systemd/journald.conf.d/console.conf
    ln -s /dev/null $ROOT/etc/systemd/system/getty.target
    chroot $ROOT systemctl --quiet enable shutdown-test.service ${units.map((name) => `luksfuse@${name}.service`).join(' ')}
    mke2fs -q -t ext4 -d $ROOT ${root} 1200M`;
  fs.writeFileSync(path.join(dir, 'fstab'), `${FSTAB.join('\n')}\n`);
  fs.writeFileSync(path.join(dir, 'script'), SCRIPT);
  fs.writeFileSync(
    path.join(dir, 'shutdown-test.service'),
    `[Unit]
After=multi-user.target remote-fs.target
[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=10min
ExecStart=/usr/local/sbin/shutdown-test
[Install]
WantedBy=graphical.target
`,
  );
  const world = path.join(PROJECT_DIR, 'test/worlds/fresh-debian.sh');
  const deb = process.argv[2] ?? (await findDeb());
  await mustRun(world, [deb, 'systemd-sysv udev kmod', 'sh', '-ec', make], { timeoutMs: BOOT_MS });
  return { root, srv };
}

async function findDeb(): Promise<string> {
  const dir = path.join(PROJECT_DIR, 'packages');
  const name = fs.readdirSync(dir).find((name) => name.endsWith('.deb'));
  if (!name) throw new Error('there is no .deb; run "npm run package"');
  return path.join(dir, name);
}

t.test('after a shutdown all is there and clean', { timeout: 2 * BOOT_MS }, async (t) => {
  const volumes = {} as Record<Name, Volume>;
  for (const name of NAMES) {
    const volume = await makeVolume(t, 24 * MiB);
    const plain = path.join(volume.dir, 'plain');
    await mustRun('mke2fs', ['-q', '-t', 'ext4', plain, '24M']);
    await mustLuksfuse(['write', ...unlockArgs(volume), volume.payload], { input: fs.readFileSync(plain) });
    volumes[name] = volume;
  }
  const disks = await makeDisks(t, volumes);
  const outputFile = path.join(makeTempDir(t), 'output');
  const guest = await bootGuest(t, {
    script: `mkdir -p ${NEXT_ROOT} && mount -t ext4 /dev/vda ${NEXT_ROOT}`,
    disks: [{ file: disks.root }, { file: disks.srv }],
    qemuArgs: ['-m', '1536', '-smp', '2', '-cpu', 'Nehalem'],
    outputFile,
    timeoutMs: BOOT_MS,
  });
  fs.writeFileSync('/tmp/pack/guest.log', guest.kernelLog);
  fs.writeFileSync('/tmp/pack/guest.out', fs.readFileSync(outputFile));
  t.comment(`${Math.round(guest.elapsedMs / 1000)} s`);
  t.notMatch(guest.output, /NOT MOUNTED/);
  for (const disk of [disks.root, disks.srv]) {
    const { stdout } = await mustRun('dumpe2fs', ['-h', disk]);
    t.match(stdout.toString(), /Filesystem state: +clean/);
    t.notMatch(stdout.toString(), /needs_recovery/, 'the file system was unmounted');
  }
  for (const name of NAMES) {
    const { dir } = volumes[name];
    const file = (suffix: string) => path.join(dir, suffix);
    await mustRun('debugfs', ['-R', `dump /${name}.img ${file('payload')}`, disks.srv]);
    const args = [...unlockArgs({ ...volumes[name], payload: file('payload') }), file('payload')];
    fs.writeFileSync(file('plain'), (await mustLuksfuse(['cat', ...args])).stdout);
    const { stdout } = await mustRun('dumpe2fs', ['-h', file('plain')]);
    t.notMatch(stdout.toString(), /needs_recovery/, `${name}: the file system on it was unmounted`);
    for (const [entry, count] of [
      ['synced', 20_000],
      ['unsynced', 200_000],
    ] as const) {
      await mustRun('debugfs', ['-R', `dump /${entry} ${file(entry)}`, file('plain')]);
      const expected = Array.from({ length: count }, (_, index) => `${index + 1}\n`).join('');
      t.equal(
        fs.existsSync(file(entry)) && fs.readFileSync(file(entry), 'utf8') === expected,
        true,
        `${name}: ${entry}`,
      );
    }
  }
});
