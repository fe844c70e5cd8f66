/**
 * What a running VM has: devices, block nodes, objects, places for a device.
 */
import type { Monitor } from './monitor.js';

interface PciDevice {
  qdev_id?: string;
  class_info: { class: number };
  pci_bridge?: { devices?: PciDevice[] };
}

/** PCI's class and subclass of a bridge from PCI to PCI, as ports of PCI Express are. */
const PCI_BRIDGE_CLASS = 0x0604;

async function listChildren(monitor: Monitor, path: string): Promise<string[]> {
  const children = await monitor.execute({ execute: 'qom-list', arguments: { path } });
  return (children as { name: string }[]).map(({ name }) => name);
}

export async function hasDevice(monitor: Monitor, id: string): Promise<boolean> {
  return (await listChildren(monitor, '/machine/peripheral')).includes(id);
}

export async function hasObject(monitor: Monitor, id: string): Promise<boolean> {
  return (await listChildren(monitor, '/objects')).includes(id);
}

export async function listNodes(monitor: Monitor): Promise<string[]> {
  const nodes = await monitor.execute({ execute: 'query-named-block-nodes', arguments: { flat: true } });
  return (nodes as { 'node-name': string }[]).map((node) => node['node-name']);
}

/** QEMU's major version. */
export async function queryMajorVersion(monitor: Monitor): Promise<number> {
  const version = await monitor.execute({ execute: 'query-version' });
  return (version as { qemu: { major: number } }).qemu.major;
}

/**
 * A bridge that has a name and nothing behind it. The root bus of PCI Express takes no device while the machine runs;
 * its ports do, one each. Null for machines without: there the device finds its place alone.
 */
export async function findFreePort(monitor: Monitor): Promise<string | null> {
  const buses = (await monitor.execute({ execute: 'query-pci' })) as { devices: PciDevice[] }[];
  const bridges = buses
    .flatMap((bus) => bus.devices)
    .filter((device) => device.class_info.class === PCI_BRIDGE_CLASS && device.qdev_id);
  return bridges.find((bridge) => !bridge.pci_bridge?.devices?.length)?.qdev_id ?? null;
}
