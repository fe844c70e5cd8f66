/**
 * Boots a Linux guest in QEMU, without KVM, to run one script: a kernel with device-mapper and virtio disks
 * where this machine has none. The guest runs this machine's own programs, if it is of the same architecture.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { encodeCpio } from './cpio.js';
import { type GuestKernel, requireGuestKernel } from './guest-kernel.js';
import { type GuestMachine, MACHINES } from './guest-machine.js';
import { buildInitramfs, bundleTool, EXIT_MARK, SCRIPT_PATH } from './initramfs.js';
import { run } from './run.js';
import { makeTempDir } from './temp.js';

export interface GuestDisk {
  file: string;
  isReadOnly?: boolean;
}

export interface GuestOptions {
  /** A script for busybox sh; its directory is / and there is nothing on stdin. */
  script: string;
  /** Raw disks: /dev/vda, /dev/vdb and so on. */
  disks?: readonly GuestDisk[];
  /** More files for the guest, by absolute path. */
  files?: Readonly<Record<string, string | Uint8Array>>;
  /** What boots; DEFAULT_KERNEL if not said. */
  kernel?: GuestKernel;
  /** As QEMU's -cpu; the machine's own if not said. */
  cpu?: string;
  /** 1 if not said. */
  cpuCount?: number;
  /** 512 if not said. */
  memoryMiB?: number;
  /** Programs of this machine besides busybox, by name. */
  tools?: readonly string[];
  /** More arguments for QEMU, such as -qmp for a test that plugs a disk while the script runs. */
  qemuArgs?: readonly string[];
  /** Where the script's words go while it runs, for a test that acts on them; a temporary file by default. */
  outputFile?: string;
  timeoutMs?: number;
}

export interface GuestResult {
  /** Of the script. */
  exitStatus: number;
  /** What the script said on stdout and stderr. */
  output: string;
  /** What the kernel said. */
  kernelLog: string;
  elapsedMs: number;
}

const DEFAULT_TIMEOUT_MS = 120_000;
/** How much of the kernel's last words goes into an error. */
const LOG_TAIL_CHARS = 2000;

function machineArgs(machine: GuestMachine, options: GuestOptions): string[] {
  const { cpu = machine.cpu, cpuCount = 1, memoryMiB = 512 } = options;
  return [
    ...[...machine.args, '-cpu', cpu, '-smp', `${cpuCount}`, '-m', `${memoryMiB}`],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
  ];
}

/** Without the kernel's self-tests of each cipher and the mitigations of real processors, which are slow in TCG. */
function kernelCommandLine({ ports, kernelArgs }: GuestMachine): string {
  return `console=${ports.kernel} quiet panic=-1 nokaslr mitigations=off cryptomgr.notests=1 ${kernelArgs}`;
}

/** The archives that guests have in common, by their kernels' images. */
const commonInitramfs = new Map<string, Buffer>();

function initramfsFor(kernel: GuestKernel): Buffer {
  const common =
    commonInitramfs.get(kernel.image) ?? buildInitramfs(kernel, MACHINES[kernel.arch].ports.output);
  commonInitramfs.set(kernel.image, common);
  return common;
}

async function writeInitramfs(file: string, kernel: GuestKernel, options: GuestOptions): Promise<void> {
  const tools = await Promise.all((options.tools ?? []).map(bundleTool));
  const texts = { ...options.files, [SCRIPT_PATH]: options.script };
  const files = Object.entries(texts).map(([path, content]) => ({ path, bytes: Buffer.from(content) }));
  fs.writeFileSync(file, Buffer.concat([initramfsFor(kernel), encodeCpio([...tools.flat(), ...files])]));
}

function diskArgs(disks: readonly GuestDisk[]): string[] {
  return disks.flatMap(({ file, isReadOnly }, index) => {
    const readOnly = isReadOnly ? 'on' : 'off';
    const drive = `if=none,id=disk${index},format=raw,read-only=${readOnly},file=${file.replaceAll(',', ',,')}`;
    return ['-drive', drive, '-device', `virtio-blk-pci,drive=disk${index}`];
  });
}

function parseOutput(raw: string): { output: string; exitStatus: number } | null {
  const match = new RegExp(`^${EXIT_MARK} (\\d+)\\s*$`, 'm').exec(raw);
  return match && { output: raw.slice(0, match.index), exitStatus: Number(match[1]) };
}

/**
 * Boots a guest, runs the script in it, and shuts it down; what it wrote is then on the disks' files. Rejects,
 * with what was said, where the guest does not get through the script in time. About 3 s besides the script.
 */
export async function bootGuest(t: Test, options: GuestOptions): Promise<GuestResult> {
  const dir = makeTempDir(t);
  const initramfs = path.join(dir, 'initramfs');
  const outputFile = options.outputFile ?? path.join(dir, 'output');
  const logFile = path.join(dir, 'kernel-log');
  const kernel = options.kernel ?? requireGuestKernel();
  const machine = MACHINES[kernel.arch];
  await writeInitramfs(initramfs, kernel, options);
  const bootArgs = ['-kernel', kernel.image, '-initrd', initramfs, '-append', kernelCommandLine(machine)];
  const args = [
    ...['--pdeathsig', 'KILL', machine.qemu, ...machineArgs(machine, options), ...bootArgs],
    ...machine.serialArgs(logFile, outputFile),
    ...[...diskArgs(options.disks ?? []), ...(options.qemuArgs ?? [])],
  ];
  const read = (file: string) => (fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '');
  const describe = (why: string) =>
    `the guest: ${why}; it said: ${read(outputFile)}; and its kernel: ${read(logFile).slice(-LOG_TAIL_CHARS)}`;

  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  // A test that is killed takes its guest along.
  const qemu = await run('setpriv', args, { timeoutMs }).catch((error: Error) => {
    throw new Error(describe(error.message));
  });
  const parsed = parseOutput(read(outputFile));
  if (!parsed) throw new Error(describe(`ended with ${qemu.signal ?? qemu.code} early: ${qemu.stderr}`));
  return { ...parsed, kernelLog: read(logFile), elapsedMs: qemu.elapsedMs };
}
