/**
 * A disk as QEMU is told of it: the block nodes from the file up, and the device in front of them
 * (qapi/block-core.json, `-device virtio-blk,help`). Plain data; nothing is sent from here.
 */
import { requireUtf8 } from '../native/raw-names.js';
import type { QmpArguments, QmpCommand } from './monitor.js';

export const CACHES = ['none', 'writeback', 'directsync', 'writethrough'] as const;
export const DEVICES = ['virtio-blk', 'scsi-hd'] as const;

/** Where the bytes come from: our plaintext, or a LUKS1 payload that QEMU decrypts itself. */
export type DiskSource =
  | { kind: 'plain'; file: string }
  /** Without a header it is the payload's own. The key file's bytes are the passphrase, and read by QEMU. */
  | { kind: 'luks'; file: string; header: string | null; keyFile: string };

export interface Disk {
  /** Of the device; the names of everything else begin with it. */
  id: string;
  source: DiskSource;
  device: (typeof DEVICES)[number];
  /** Of QEMU, where the device is plugged in; null leaves it to QEMU. */
  bus: string | null;
  serial: string;
  queueCount: number | null;
  isReadOnly: boolean;
  cache: (typeof CACHES)[number];
  aio: 'threads' | 'native' | 'io_uring';
  /** The guest's discards reach the file. */
  passesDiscards: boolean;
  detectZeroes: 'off' | 'on';
  logicalBlockBytes: number;
  physicalBlockBytes: number;
}

/** Names in QEMU, all from the disk's id. */
export function namesOf(id: string) {
  return {
    device: id,
    controller: `${id}-scsi`,
    top: `${id}-disk`,
    file: `${id}-file`,
    header: `${id}-header`,
    secret: `${id}-key`,
  } as const;
}

/** The QEMU that has the option `header` of its luks driver. */
export const DETACHED_HEADER_VERSION = 9;
/** Holes in a file are no smaller, on the file systems that payloads lie on. */
const HOLE_BYTES = 4096;

/** With a host's page cache between, or without; whether a write waits for the storage is the device's. */
function nodeTraits(disk: Disk): QmpArguments {
  const direct = disk.cache === 'none' || disk.cache === 'directsync';
  return {
    'read-only': disk.isReadOnly,
    cache: { direct, 'no-flush': false },
    discard: disk.passesDiscards ? 'unmap' : 'ignore',
  };
}

/** Secrets to be made before the nodes. */
export function objectsOf({ id, source }: Disk): QmpArguments[] {
  if (source.kind === 'plain') return [];
  requireUtf8(source.keyFile, 'a file that QEMU opens');
  return [{ 'qom-type': 'secret', id: namesOf(id).secret, file: source.keyFile }];
}

/** Block nodes, each above those it names. */
export function nodesOf(disk: Disk): QmpArguments[] {
  const { source, aio } = disk;
  const names = namesOf(disk.id);
  const traits = nodeTraits(disk);
  const onFile = (name: string, filename: string) => {
    requireUtf8(filename, 'a file that QEMU opens');
    return { driver: 'file', 'node-name': name, filename, aio, ...traits };
  };
  const top = { 'node-name': names.top, ...traits, 'detect-zeroes': disk.detectZeroes, file: names.file };
  const file = onFile(names.file, source.file);
  if (source.kind === 'plain') return [file, { driver: 'raw', ...top }];
  const luks = { driver: 'luks', ...top, 'key-secret': names.secret };
  if (source.header === null) return [file, luks];
  return [file, onFile(names.header, source.header), { ...luks, header: names.header }];
}

/**
 * Devices, each behind the one before it. Where discards pass, the guest must not be offered zeroing as well: QEMU
 * would punch a hole for zeros that may be unmapped, and a hole of ours is noise. Disks of SCSI never offer that.
 */
export function devicesOf(disk: Disk): QmpArguments[] {
  const names = namesOf(disk.id);
  const place = disk.bus === null ? {} : { bus: disk.bus };
  const common = {
    driver: disk.device,
    id: names.device,
    drive: names.top,
    serial: disk.serial,
    'write-cache': disk.cache === 'directsync' || disk.cache === 'writethrough' ? 'off' : 'on',
    logical_block_size: disk.logicalBlockBytes,
    physical_block_size: disk.physicalBlockBytes,
  };
  const granularity = Math.max(HOLE_BYTES, disk.physicalBlockBytes);
  if (disk.device === 'virtio-blk') {
    const queues = disk.queueCount === null ? {} : { 'num-queues': disk.queueCount };
    const discards = disk.passesDiscards
      ? { discard: true, 'write-zeroes': false, discard_granularity: granularity }
      : { discard: false };
    return [{ ...common, ...place, ...queues, ...discards }];
  }
  const queues = disk.queueCount === null ? {} : { num_queues: disk.queueCount };
  const controller = { driver: 'virtio-scsi', id: names.controller, ...place, ...queues };
  const discards = { discard_granularity: disk.passesDiscards ? granularity : 0 };
  return [controller, { ...common, bus: `${names.controller}.0`, ...discards }];
}

/** What plugs the disk into a running VM, in order. */
export function commandsOf(disk: Disk): QmpCommand[] {
  const command = (execute: string) => (args: QmpArguments) => ({ execute, arguments: args });
  return [
    ...objectsOf(disk).map(command('object-add')),
    ...nodesOf(disk).map(command('blockdev-add')),
    ...devicesOf(disk).map(command('device_add')),
  ];
}
