/**
 * A disk in the forms that people paste: QMP, QEMU's command line, libvirt's XML (formatdomain, "Hard drives").
 */
import { commandsOf, type Disk, devicesOf, nodesOf, objectsOf } from './disk.js';
import type { QmpArguments } from './monitor.js';

/** One JSON document a line. */
export function printQmp(disk: Disk): string[] {
  return commandsOf(disk).map((command) => JSON.stringify(command));
}

/** `name=value,…`; a comma in a value is doubled (qemu(1)). */
function toOptionList(settings: QmpArguments): string {
  const toText = (value: unknown) =>
    typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value).replaceAll(',', ',,');
  const { driver, 'qom-type': type, ...others } = settings;
  const pairs = Object.entries(others).map(([name, value]) => `${name}=${toText(value)}`);
  return [driver ?? type, ...pairs].join(',');
}

/** Arguments for a QEMU that is to start with the disk. */
export function commandLineOf(disk: Disk): string[] {
  return [
    ...objectsOf(disk).flatMap((object) => ['-object', toOptionList(object)]),
    ...nodesOf(disk).flatMap((node) => ['-blockdev', JSON.stringify(node)]),
    ...devicesOf(disk).flatMap((device) => ['-device', toOptionList(device)]),
  ];
}

/** For sh(1): an option and its value a line. */
export function printCommandLine(disk: Disk): string[] {
  const quote = (word: string) =>
    /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
  const words = commandLineOf(disk).map(quote);
  return words.flatMap((word, index) => (index % 2 === 0 ? [`${word} ${words[index + 1]}`] : []));
}

function escapeXml(text: string): string {
  return text.replace(/[&<>'"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

/**
 * libvirt's `<disk>`, or null for a source that it has no words for. It cannot turn zeroing off for virtio (see
 * `devicesOf`), so there the guest's discards are ignored.
 */
export function printLibvirtXml(disk: Disk): string | null {
  if (disk.source.kind !== 'plain') return null;
  const isScsi = disk.device === 'scsi-hd';
  const attributes = {
    name: 'qemu',
    type: 'raw',
    cache: disk.cache,
    io: disk.aio,
    discard: disk.passesDiscards && isScsi ? 'unmap' : 'ignore',
    detect_zeroes: disk.detectZeroes,
    ...(disk.queueCount !== null && !isScsi && { queues: disk.queueCount }),
  };
  const driver = Object.entries(attributes).map(([name, value]) => ` ${name}='${value}'`);
  const target = isScsi ? "dev='sdz' bus='scsi'" : "dev='vdz' bus='virtio'";
  const blocks = `logical_block_size='${disk.logicalBlockBytes}' physical_block_size='${disk.physicalBlockBytes}'`;
  return [
    "<disk type='file' device='disk'>",
    `  <driver${driver.join('')}/>`,
    `  <source file='${escapeXml(disk.source.file)}'/>`,
    `  <target ${target}/>`,
    `  <blockio ${blocks}/>`,
    `  <serial>${escapeXml(disk.serial)}</serial>`,
    ...(disk.isReadOnly ? ['  <readonly/>'] : []),
    '</disk>',
  ].join('\n');
}
