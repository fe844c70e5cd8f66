/**
 * The machines that QEMU emulates for guests, one for each architecture that a guest's kernel may have.
 */
import type { GuestKernel } from './guest-kernel.js';

export interface GuestMachine {
  qemu: string;
  args: readonly string[];
  /** Without the newest instructions: generic code is the reference, and has no processor to depend on. */
  cpu: string;
  /** More of the kernel's command line. */
  kernelArgs: string;
  /** Where the kernel speaks, and where the script does, which busybox stty sets to raw. */
  ports: { kernel: string; output: string };
  serialArgs(logFile: string, outputFile: string): string[];
}

export const MACHINES: Readonly<Record<GuestKernel['arch'], GuestMachine>> = {
  amd64: {
    qemu: 'qemu-system-x86_64',
    args: ['-machine', 'q35,accel=tcg'],
    cpu: 'qemu64',
    // The check of the timer fails where this machine is busy.
    kernelArgs: 'no_timer_check',
    ports: { kernel: 'ttyS0', output: 'ttyS1' },
    serialArgs: (log, output) => ['-serial', `file:${log}`, '-serial', `file:${output}`],
  },
  arm64: {
    qemu: 'qemu-system-aarch64',
    args: ['-machine', 'virt,accel=tcg'],
    // With all that QEMU 7.2 emulates (max), Node.js fails now and then in plain assignments; this one signs no pointers.
    cpu: 'cortex-a76',
    kernelArgs: '',
    ports: { kernel: 'ttyAMA0', output: 'ttyS0' },
    serialArgs: (log, output) => [
      ...['-serial', `file:${log}`, '-chardev', `file,id=output,path=${output}`],
      ...['-device', 'pci-serial,chardev=output'],
    ],
  },
};
