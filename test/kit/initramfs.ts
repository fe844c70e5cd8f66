/**
 * The initramfs of a guest: busybox, an init that runs one script, and the kernel modules for virtio disks,
 * ext4, FUSE, loop devices, device-mapper and every cipher and hash the kernel's generic code has. The kernel itself asks modprobe for
 * a cipher when it is first named, by the aliases of modules.alias. Knows nothing of QEMU.
 */
import fs from 'node:fs';
import path from 'node:path';
import { type CpioFile, encodeCpio } from './cpio.js';
import { findModules, type GuestKernel } from './guest-kernel.js';
import { run, TOOL_PATH } from './run.js';

/** Loaded by init, in this order. */
const LOADED_MODULES = [
  ...['virtio_pci', 'virtio_blk', 'virtio_scsi', 'sd_mod', 'ext4', 'fuse', 'loop'],
  ...['dm_mod', 'dm_crypt'],
];
const MODULE_DIRS = /^kernel\/(crypto|lib\/crypto)\//;
/** What busybox modprobe reads. */
const MODULE_INDEXES = ['modules.dep', 'modules.alias', 'modules.softdep', 'modules.builtin'];

/** Where guest.ts puts the script. */
export const SCRIPT_PATH = '/script';
/** The last line of a guest that came to its end starts with this, then the exit status of the script. */
export const EXIT_MARK = 'guest-exit-status:';

/** Where a script mounts a file system that is to be the root from then on, and to say EXIT_MARK itself. */
export const NEXT_ROOT = '/next-root';

/**
 * The script's output goes to a serial port of its own, raw, as the kernel speaks on the first. A port that is
 * closed has sent all it had. QEMU runs with -no-reboot, so reboot is the quick way out.
 */
const initScript = (outputPort: string) => `#!/bin/busybox sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
busybox mount -t devtmpfs dev /dev
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox --install -s
mkdir -p /tmp /run
${LOADED_MODULES.map((name) => `modprobe ${name}`).join('\n')}
stty -F /dev/${outputPort} raw
sh ${SCRIPT_PATH} </dev/null >/dev/${outputPort} 2>&1
status=$?
[ -e ${NEXT_ROOT}/sbin/init ] && exec switch_root ${NEXT_ROOT} /sbin/init
echo "${EXIT_MARK} $status" >/dev/${outputPort}
sync
reboot -f
`;

function findTool(name: string): string {
  const dir = TOOL_PATH.split(':').find((dir) => dir && fs.existsSync(path.join(dir, name)));
  if (!dir) throw new Error(`${name} is not installed`);
  return path.join(dir, name);
}

/** The shared libraries of a program and its loader, by the paths it looks for; none where it is static. */
async function findLibraries(program: string): Promise<string[]> {
  const { stdout } = await run('ldd', [program]);
  return [...stdout.toString().matchAll(/^\s+(?:\S+ => )?(\/\S+) \(0x/gm)].map((match) => match[1]!);
}

/** This machine's program and its libraries; the program goes to /bin. */
export async function bundleTool(name: string): Promise<CpioFile[]> {
  const program = findTool(name);
  const load = (from: string, to: string) => ({ path: to, bytes: fs.readFileSync(from), isExecutable: true });
  const libraries = await findLibraries(program);
  return [load(program, `/bin/${name}`), ...libraries.map((library) => load(library, library))];
}

function bundleModules(kernel: GuestKernel): CpioFile[] {
  const files = findModules(kernel, (file, name) => LOADED_MODULES.includes(name) || MODULE_DIRS.test(file));
  const indexes = MODULE_INDEXES.filter((name) => fs.existsSync(path.join(kernel.modulesDir, name)));
  return [...files, ...indexes].map((file) => ({
    path: `/lib/modules/${kernel.release}/${file}`,
    bytes: fs.readFileSync(path.join(kernel.modulesDir, file)),
  }));
}

/** The archive that all guests of this kernel have in common; `encodeCpio` of more may follow it. */
export function buildInitramfs(kernel: GuestKernel, outputPort: string): Buffer {
  const init = { path: '/init', bytes: Buffer.from(initScript(outputPort)), isExecutable: true };
  const busybox = { path: '/bin/busybox', bytes: fs.readFileSync(kernel.busybox), isExecutable: true };
  const directories = ['/dev', '/proc', '/sys', '/sbin', '/usr/bin', '/usr/sbin'];
  return encodeCpio([init, busybox, ...bundleModules(kernel)], directories);
}
