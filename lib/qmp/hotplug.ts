/**
 * Plugs a disk into a running VM and takes it out again. Whatever ends half-way leaves nothing of the disk behind.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { LuksError } from '../errors.js';
import { commandsOf, DETACHED_HEADER_VERSION, type Disk, namesOf } from './disk.js';
import { findFreePort, hasDevice, hasObject, listNodes, queryMajorVersion } from './inventory.js';
import type { Monitor } from './monitor.js';

/** A device that is gone may hold its node a moment longer. */
const NODE_TRIES = 20;
const NODE_RETRY_MS = 100;
/** What failed to be plugged in has hardly reached the guest. */
const UNDO_MS = 2000;

async function requireNoRemains(monitor: Monitor, id: string): Promise<void> {
  const { top, file, device } = namesOf(id);
  const nodes = await listNodes(monitor);
  if (!nodes.includes(top) && !nodes.includes(file) && !(await hasDevice(monitor, device))) return;
  throw new LuksError('BUSY', `${monitor.name} has a disk ${id} already; detach it, or give another --id`);
}

async function requireAbleTo(monitor: Monitor, { source }: Disk): Promise<void> {
  if (source.kind === 'plain' || source.header === null) return;
  const major = await queryMajorVersion(monitor);
  if (major >= DETACHED_HEADER_VERSION) return;
  throw new LuksError(
    'UNSUPPORTED',
    `${monitor.name} is version ${major}, and detached headers need ${DETACHED_HEADER_VERSION}; attach without --native`,
  );
}

/**
 * Plugs the disk in. Where a step fails, those before it are undone and its error is thrown.
 * @throws LuksError BUSY where the VM has a disk of this id, DEVICE_IO with QEMU's reason
 */
export async function plugDisk(monitor: Monitor, disk: Disk): Promise<void> {
  await requireAbleTo(monitor, disk);
  await requireNoRemains(monitor, disk.id);
  const bus = disk.bus ?? (await findFreePort(monitor));
  try {
    for (const command of commandsOf({ ...disk, bus })) await monitor.execute(command);
  } catch (error) {
    throw await undo(monitor, disk.id, explain(error));
  }
}

/** QEMU's words say what, not what to do. */
function explain(error: unknown): unknown {
  if (!(error instanceof LuksError) || !/does not support hotplugging/.test(error.message)) return error;
  const cure = 'give the VM a free pcie-root-port, or name one with --bus';
  return new LuksError(error.code, `${error.message}; ${cure}`, { cause: error });
}

/** Returns `reason`, which says so where something could not be taken back. */
async function undo(monitor: Monitor, id: string, reason: unknown): Promise<unknown> {
  try {
    await unplugDisk(monitor, id, { timeoutMs: UNDO_MS });
    return reason;
  } catch (error) {
    if (!(reason instanceof LuksError)) return reason;
    const message = `${reason.message}; and it could not be undone: ${(error as Error).message}`;
    return new LuksError(reason.code, message, { cause: reason });
  }
}

/**
 * Takes out what there is of the disk: nothing, where it is gone already. Returns when QEMU has closed the file.
 * @throws LuksError BUSY where the guest does not let go in time
 */
export async function unplugDisk(
  monitor: Monitor,
  id: string,
  { timeoutMs }: { timeoutMs: number },
): Promise<void> {
  const names = namesOf(id);
  for (const device of [names.device, names.controller]) {
    if (await hasDevice(monitor, device)) await monitor.removeDevice(device, timeoutMs);
  }
  for (const node of [names.top, names.header, names.file]) await removeNode(monitor, node);
  if (await hasObject(monitor, names.secret)) {
    await monitor.execute({ execute: 'object-del', arguments: { id: names.secret } });
  }
}

async function removeNode(monitor: Monitor, node: string): Promise<void> {
  for (let tries = NODE_TRIES; ; tries -= 1) {
    if (!(await listNodes(monitor)).includes(node)) return;
    try {
      await monitor.execute({ execute: 'blockdev-del', arguments: { 'node-name': node } });
    } catch (error) {
      if (tries === 0) throw error;
      await delay(NODE_RETRY_MS);
    }
  }
}
