/**
 * Boots a Linux guest in QEMU, without KVM, to run one script: a kernel with device-mapper and virtio disks
 * where this machine has none. The guest is x86-64 and runs this machine's own programs.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { encodeCpio } from './cpio.js';
import { requireGuestKernel } from './guest-kernel.js';
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
const MEMORY_MIB = 512;
/** How much of the kernel's last words goes into an error. */
const LOG_TAIL_CHARS = 2000;

/** TCG emulates AES-NI and AVX, but the generic code is the reference and has no CPU to depend on. */
const MACHINE_ARGS = [
  ...['-machine', 'q35,accel=tcg', '-cpu', 'qemu64', '-m', `${MEMORY_MIB}`],
  ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
];

/**
 * Without the kernel's self-tests of each cipher and the mitigations of real processors, which are slow in TCG, and
 * without its check of the timer, which fails where this machine is busy.
 */
const KERNEL_COMMAND_LINE =
  'console=ttyS0 quiet panic=-1 nokaslr mitigations=off cryptomgr.notests=1 no_timer_check';

let commonInitramfs: Promise<Buffer> | null = null;

async function writeInitramfs(file: string, options: GuestOptions): Promise<void> {
  commonInitramfs ??= buildInitramfs(requireGuestKernel());
  const tools = await Promise.all((options.tools ?? []).map(bundleTool));
  const texts = { ...options.files, [SCRIPT_PATH]: options.script };
  const files = Object.entries(texts).map(([path, content]) => ({ path, bytes: Buffer.from(content) }));
  fs.writeFileSync(file, Buffer.concat([await commonInitramfs, encodeCpio([...tools.flat(), ...files])]));
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
  await writeInitramfs(initramfs, options);
  const bootArgs = ['-kernel', requireGuestKernel().image, '-initrd', initramfs];
  const serialArgs = ['-serial', `file:${logFile}`, '-serial', `file:${outputFile}`];
  const args = [
    ...['--pdeathsig', 'KILL', 'qemu-system-x86_64'],
    ...[...MACHINE_ARGS, ...bootArgs, '-append', KERNEL_COMMAND_LINE, ...serialArgs],
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
