/**
 * Which VMs a mount's file was handed to: a note for those who detach or unmount, in the directory of the control
 * sockets. Nothing hangs on it: that the file is in use is the kernel's to know, and a VM that died held nothing.
 */
import fs from 'node:fs';
import { findNotePaths, newNotePath } from './registry.js';

/** Where QEMU is spoken to. */
export interface MonitorAddress {
  kind: 'qmp' | 'libvirt';
  /** The socket's absolute path, or the domain's name. */
  address: string;
}

export interface Attachment {
  /** Of the disk in the VM. */
  id: string;
  monitor: MonitorAddress;
}

/** @param owner the mountpoint, or a payload that QEMU opens itself; absolute, without links */
export function listAttachments(owner: string): Attachment[] {
  const [note] = findNotePaths(owner);
  if (note === undefined) return [];
  try {
    return JSON.parse(fs.readFileSync(note, 'utf8')) as Attachment[];
  } catch (error) {
    // Half a note, of a machine that went down, is none.
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}

function replaceAll(owner: string, attachments: readonly Attachment[]): void {
  const notes = findNotePaths(owner);
  if (attachments.length === 0) {
    for (const note of notes) fs.rmSync(note, { force: true });
    return;
  }
  const note = notes[0] ?? newNotePath(owner);
  fs.writeFileSync(`${note}.new`, JSON.stringify(attachments), { mode: 0o600 });
  fs.renameSync(`${note}.new`, note);
}

export function isSameAttachment(one: Attachment, other: Attachment): boolean {
  return (
    one.id === other.id &&
    one.monitor.kind === other.monitor.kind &&
    one.monitor.address === other.monitor.address
  );
}

export function noteAttachment(owner: string, attachment: Attachment): void {
  forgetAttachment(owner, attachment);
  replaceAll(owner, [...listAttachments(owner), attachment]);
}

export function forgetAttachment(owner: string, attachment: Attachment): void {
  replaceAll(
    owner,
    listAttachments(owner).filter((other) => !isSameAttachment(other, attachment)),
  );
}

/** For what is no longer there to be attached. */
export function forgetAttachments(owner: string): void {
  replaceAll(owner, []);
}
