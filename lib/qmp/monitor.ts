/**
 * What a running QEMU is asked through: QMP (docs/interop/qmp-spec), over its own socket (client.ts) or by way of
 * libvirt (virsh.ts). Nothing that is sent holds a key: a secret goes as the name of its file.
 */
import { LuksError } from '../errors.js';

export type QmpArguments = Readonly<Record<string, unknown>>;

/** One command of QMP. */
export interface QmpCommand {
  execute: string;
  arguments?: QmpArguments;
}

export interface Monitor {
  /** What messages call the VM. */
  readonly name: string;
  /** The command's return value. Throws DEVICE_IO with QEMU's own words where it refuses. */
  execute(command: QmpCommand): Promise<unknown>;
  /** Unplugs a device and returns when the guest has let go of it. Throws BUSY where it does not in time. */
  removeDevice(id: string, timeoutMs: number): Promise<void>;
  close(): void;
}

/** What QEMU answers to a command. */
export interface QmpAnswer {
  return?: unknown;
  error?: { class: string; desc: string };
}

/** The return value in an answer. */
export function requireReturn(answer: QmpAnswer, command: QmpCommand, name: string): unknown {
  if (answer.error) {
    throw new LuksError('DEVICE_IO', `${name} refuses ${command.execute}: ${answer.error.desc}`);
  }
  return answer.return;
}

export function heldByGuest(id: string, name: string, why: string): LuksError {
  return new LuksError(
    'BUSY',
    `the guest of ${name} does not let go of ${id}: ${why}; unmount it in the guest, and detach again`,
  );
}
