/**
 * The options of `luksfuse attach`, and the disk that they make of a mount.
 */
import fs from 'node:fs';
import path from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { LuksError } from '../errors.js';
import type { MountInfo } from '../mount/control.js';
import { CACHES, DEVICES, type Disk, type DiskSource } from '../qmp/disk.js';
import { locateHeader } from '../volume/locate.js';
import { wholeNumber } from './credential-options.js';
import type { JsonOption } from './output.js';

export interface MonitorOptions {
  qmp?: string;
  libvirt?: string;
}

export interface AttachOptions extends JsonOption, MonitorOptions {
  print?: boolean;
  native?: boolean;
  header?: string;
  keyFile?: string;
  id?: string;
  device: Disk['device'];
  bus?: string;
  serial?: string;
  queues?: number;
  readOnly?: boolean;
  cache: Disk['cache'];
  aio?: Disk['aio'];
  discard?: 'unmap' | 'ignore';
  detectZeroes: Disk['detectZeroes'];
  blockSize: '512' | '4096';
}

/** Names of nodes have 31 characters at most in QEMU, of which ours need 7. */
const MAX_ID_CHARS = 24;
/** What virtio-blk has for a serial number. */
const MAX_SERIAL_CHARS = 20;
const MAX_QUEUES = 1024;

/** As QEMU wants them (id_wellformed). */
export function diskId(text: string): string {
  if (!/^[A-Za-z][\w.-]*$/.test(text) || text.length > MAX_ID_CHARS) {
    throw new InvalidArgumentError(
      `It must be letters, digits and "-._", a letter first, ${MAX_ID_CHARS} at most.`,
    );
  }
  return text;
}

function serial(text: string): string {
  if (!/^[\x21-\x7e]+$/.test(text) || text.length > MAX_SERIAL_CHARS) {
    throw new InvalidArgumentError(`It must be visible ASCII, ${MAX_SERIAL_CHARS} characters at most.`);
  }
  return text;
}

function queueCount(text: string): number {
  const count = wholeNumber(text);
  if (count < 1 || count > MAX_QUEUES) throw new InvalidArgumentError(`It must be 1 to ${MAX_QUEUES}.`);
  return count;
}

/** Which VM. */
export function addMonitorOptions(command: Command): Command {
  return command
    .addOption(new Option('--qmp <socket>', 'the QMP socket of a running QEMU').conflicts('libvirt'))
    .option('--libvirt <domain>', 'a running domain of libvirt, by way of virsh');
}

export function addDiskOptions(command: Command): Command {
  return command
    .option('--id <name>', 'its name in the VM; from the UUID by default', diskId)
    .addOption(new Option('--device <driver>', 'what the guest sees').choices(DEVICES).default('virtio-blk'))
    .option('--bus <name>', 'where in the VM it is plugged in; a free port by default')
    .option('--serial <text>', 'its serial number; from the UUID by default', serial)
    .option('--queues <n>', 'so many queues', queueCount)
    .option('-r, --read-only', 'let the guest not write')
    .addOption(new Option('--cache <policy>', "as QEMU's -drive has it").choices(CACHES).default('none'))
    .addOption(
      new Option('--aio <how>', 'how QEMU does its I/O').choices(['threads', 'native', 'io_uring'] as const),
    )
    .addOption(
      new Option('--discard <what>', "the guest's discards; unmap where the mount allows it").choices([
        'unmap',
        'ignore',
      ]),
    )
    .addOption(
      new Option('--detect-zeroes <whether>', 'write zeros by length').choices(['off', 'on']).default('off'),
    )
    .addOption(
      new Option('--block-size <bytes>', "the guest's logical blocks")
        .choices(['512', '4096'])
        .default('512'),
    );
}

/** What is handed over: of a mount, or of a pair that nothing is mounted of. */
export interface Subject {
  uuid: string;
  isReadOnly: boolean;
  allowsDiscards: boolean;
  sectorSize: number;
  source: DiskSource;
}

export function subjectOfMount(info: MountInfo): Subject {
  return { ...info, source: { kind: 'plain', file: info.file } };
}

/** QEMU opens header and key file itself, and is another process. */
function requireFile(file: string | undefined, option: string): string {
  if (file === undefined) throw new LuksError('BAD_ARGUMENT', `--native needs ${option}`);
  const real = fs.realpathSync(file);
  if (fs.statSync(real).isFile() || fs.statSync(real).isBlockDevice()) return real;
  throw new LuksError('BAD_ARGUMENT', `${file} must be a file, since QEMU opens it`);
}

/** For QEMU's own luks driver, which knows LUKS1. `headerPath` is that of an ordinary volume where null. */
export function nativeSubject(payloadPath: string, headerPath: string | null, keyFile?: string): Subject {
  const { device, header } = locateHeader(headerPath ?? payloadPath);
  device.close();
  if (header.version !== 1) {
    throw new LuksError(
      'UNSUPPORTED',
      `${device.path} is LUKS${header.version}, and QEMU's luks driver knows LUKS1 only; mount it and attach the file`,
    );
  }
  const file = fs.realpathSync(payloadPath);
  const detached = headerPath !== null && fs.realpathSync(headerPath) !== file ? headerPath : undefined;
  return {
    uuid: header.uuid,
    isReadOnly: false,
    allowsDiscards: false,
    sectorSize: 512,
    source: {
      kind: 'luks',
      file,
      header: detached === undefined ? null : requireFile(detached, '--header'),
      keyFile: requireFile(keyFile, '--key-file'),
    },
  };
}

function passesDiscards(subject: Subject, wanted: AttachOptions['discard']): boolean {
  if (wanted !== 'unmap') return wanted === undefined && subject.allowsDiscards;
  if (subject.allowsDiscards) return true;
  const cure = subject.source.kind === 'plain' ? 'mount it with --allow-discards' : 'attach without --native';
  throw new LuksError('BAD_ARGUMENT', `discards do not reach ${subject.source.file}; ${cure}`);
}

function chooseAio({ cache, aio }: AttachOptions): Disk['aio'] {
  const isDirect = cache === 'none' || cache === 'directsync';
  if (aio === 'native' && !isDirect) {
    throw new LuksError('BAD_ARGUMENT', '--aio native needs --cache none or directsync');
  }
  return aio ?? (isDirect ? 'native' : 'threads');
}

/** The name of the disk where none is given. */
export function defaultId(uuid: string): string {
  return `luksfuse-${uuid.slice(0, 8)}`;
}

export function makeDisk(subject: Subject, options: AttachOptions): Disk {
  const logicalBlockBytes = Number(options.blockSize);
  return {
    id: options.id ?? defaultId(subject.uuid),
    source: subject.source,
    device: options.device,
    bus: options.bus ?? null,
    serial: options.serial ?? subject.uuid.replaceAll('-', '').slice(0, MAX_SERIAL_CHARS),
    queueCount: options.queues ?? null,
    isReadOnly: options.readOnly || subject.isReadOnly,
    cache: options.cache,
    aio: chooseAio(options),
    passesDiscards: passesDiscards(subject, options.discard),
    detectZeroes: options.detectZeroes,
    logicalBlockBytes,
    physicalBlockBytes: Math.max(logicalBlockBytes, subject.sectorSize),
  };
}

/** An absolute path, as QEMU and later commands see it. */
export function resolveSocket(socket: string): string {
  return path.resolve(socket);
}
