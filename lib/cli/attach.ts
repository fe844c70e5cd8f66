/**
 * `luksfuse attach` and `luksfuse detach`: the plaintext as a disk of a running VM.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import { LuksError } from '../errors.js';
import {
  type Attachment,
  forgetAttachment,
  listAttachments,
  type MonitorAddress,
  noteAttachment,
} from '../mount/attachments.js';
import type { MountInfo } from '../mount/control.js';
import { requireMountInfo } from '../mount/list.js';
import { canonicalMountpoint, isMounted } from '../mount/mount-table.js';
import { QmpClient } from '../qmp/client.js';
import type { Disk } from '../qmp/disk.js';
import { plugDisk, unplugDisk } from '../qmp/hotplug.js';
import type { Monitor } from '../qmp/monitor.js';
import { commandLineOf, printCommandLine, printLibvirtXml, printQmp } from '../qmp/print.js';
import { VirshMonitor } from '../qmp/virsh.js';
import {
  type AttachOptions,
  addDiskOptions,
  addMonitorOptions,
  diskId,
  type MonitorOptions,
  makeDisk,
  nativeSubject,
  resolveSocket,
  type Subject,
  subjectOfMount,
} from './attach-options.js';
import { wholeNumber } from './credential-options.js';
import { addJsonOption, announceResult, type JsonOption, printResult } from './output.js';

interface DetachOptions extends JsonOption, MonitorOptions {
  id?: string;
  timeout: number;
}

const DETACH_SECONDS = 30;
const ENDING_LOOKS = 10;
const ENDING_MS = 100;

function findAddress({ qmp, libvirt }: MonitorOptions): MonitorAddress | null {
  if (qmp !== undefined) return { kind: 'qmp', address: resolveSocket(qmp) };
  return libvirt === undefined ? null : { kind: 'libvirt', address: libvirt };
}

function connect({ kind, address }: MonitorAddress): Promise<Monitor> {
  return kind === 'qmp' ? QmpClient.connect(address) : VirshMonitor.connect(address);
}

/** Runs `work` with the VM, and lets go of its monitor, which serves one at a time. */
async function withMonitor(
  address: MonitorAddress,
  work: (monitor: Monitor) => Promise<void>,
): Promise<void> {
  const monitor = await connect(address);
  try {
    await work(monitor);
  } finally {
    monitor.close();
  }
}

/** With --native the argument may be the payload itself, since QEMU and a mount cannot both write it. */
async function findSubject(argument: string, owner: string, options: AttachOptions): Promise<Subject> {
  const { native, header, keyFile } = options;
  if (!native) {
    if (header === undefined && keyFile === undefined)
      return subjectOfMount(await requireMountInfo(argument));
    throw new LuksError('BAD_ARGUMENT', '--header and --key-file are for --native; the mount is unlocked');
  }
  if (!isMounted(owner)) return nativeSubject(argument, header ?? null, keyFile);
  const info: MountInfo = await requireMountInfo(argument);
  if (!options.print) {
    throw new LuksError(
      'BUSY',
      `${info.payload} is mounted, and QEMU would open it itself; unmount it, and name the payload instead`,
    );
  }
  return nativeSubject(info.payload, header ?? info.header, keyFile);
}

function printForms(disk: Disk, options: JsonOption): void {
  const libvirt = printLibvirtXml(disk);
  const forms = {
    qmp: printQmp(disk).map((line) => JSON.parse(line) as object),
    commandLine: commandLineOf(disk),
  };
  const sections = [
    '# QMP',
    ...printQmp(disk),
    '',
    '# qemu-system-*',
    printCommandLine(disk).join(' \\\n'),
    ...(libvirt === null ? [] : ['', '# libvirt', libvirt]),
  ];
  printResult(options, { id: disk.id, ...forms, libvirt }, sections.join('\n'));
}

async function attach(argument: string, options: AttachOptions): Promise<void> {
  const owner = canonicalMountpoint(argument);
  const address = findAddress(options);
  if ((address === null) === !options.print) {
    throw new LuksError('BAD_ARGUMENT', 'give one of --qmp, --libvirt and --print, which say for which VM');
  }
  const disk = makeDisk(await findSubject(argument, owner, options), options);
  if (address === null) {
    printForms(disk, options);
    return;
  }
  const attachment: Attachment = { id: disk.id, monitor: address };
  await withMonitor(address, async (monitor) => {
    await plugDisk(monitor, disk);
    noteAttachment(owner, attachment);
  });
  announceResult(options, { ...attachment, file: disk.source.file }, disk.id);
}

/** What is to be taken out: as noted, or as the options say. */
function findAttachment(argument: string, owner: string, options: DetachOptions): Attachment {
  const address = findAddress(options);
  const noted = listAttachments(owner).filter(
    ({ id, monitor }) =>
      (options.id === undefined || id === options.id) &&
      (address === null || (monitor.kind === address.kind && monitor.address === address.address)),
  );
  const [first, ...others] = noted;
  if (first && others.length === 0) return first;
  if (first) {
    const names = noted.map(({ id, monitor }) => `${id} at ${monitor.address}`).join(', ');
    throw new LuksError(
      'BAD_ARGUMENT',
      `${argument} is attached as ${names}; give --id, or --qmp or --libvirt`,
    );
  }
  if (address !== null && options.id !== undefined) return { id: options.id, monitor: address };
  throw new LuksError(
    'BAD_ARGUMENT',
    `${argument} is not known to be attached; if it is, give --id, and --qmp or --libvirt`,
  );
}

function isMonitorLost(error: unknown): boolean {
  return error instanceof LuksError && error.code === 'DEVICE_IO';
}

/** No VM holds the disk any more where its QEMU is gone. A QEMU that ends drops its clients before it stops listening. */
async function isGone({ kind, address }: MonitorAddress): Promise<boolean> {
  if (kind !== 'qmp') return false;
  for (let looks = ENDING_LOOKS; looks > 0; looks -= 1) {
    try {
      (await connect({ kind, address })).close();
      return false;
    } catch (error) {
      if (!isMonitorLost(error)) return false;
      const { code } = ((error as LuksError).cause ?? {}) as NodeJS.ErrnoException;
      if (code === 'ECONNREFUSED' || code === 'ENOENT') return true;
    }
    await delay(ENDING_MS);
  }
  return false;
}

async function detach(argument: string, options: DetachOptions): Promise<void> {
  const owner = canonicalMountpoint(argument);
  const attachment = findAttachment(argument, owner, options);
  const timeoutMs = options.timeout * 1000;
  let isVmGone = false;
  try {
    await withMonitor(attachment.monitor, (monitor) => unplugDisk(monitor, attachment.id, { timeoutMs }));
  } catch (error) {
    isVmGone = isMonitorLost(error) && (await isGone(attachment.monitor));
    if (!isVmGone) throw error;
  }
  forgetAttachment(owner, attachment);
  const text = isVmGone ? `no QEMU answers at ${attachment.monitor.address} any more` : '';
  announceResult(options, { ...attachment, isVmGone }, text);
}

export function addAttachCommands(program: Command): void {
  const command = program
    .command('attach <mountpoint>')
    .description('hand the plaintext to a running VM as a disk, print its name there');
  addDiskOptions(addMonitorOptions(command))
    .option('--print', 'only print what would do it: QMP, command line, libvirt XML')
    .option('--native', "by QEMU's own luks driver instead (LUKS1); the argument may be the payload")
    .option('--header <file>', 'with --native: the detached header (QEMU 9)')
    .option('--key-file <file>', 'with --native: the passphrase, read by QEMU')
    .option('--json', 'print one JSON document')
    .action(attach);

  addJsonOption(addMonitorOptions(program.command('detach <mountpoint>')))
    .description('take the disk out of the VM; returns when the VM has closed the file')
    .option('--id <name>', 'its name in the VM, where it is not noted', diskId)
    .option('--timeout <seconds>', 'how long the guest may take', wholeNumber, DETACH_SECONDS)
    .action(detach);
}
