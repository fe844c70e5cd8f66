/**
 * One suite over both drivers and both kinds of mountpoint. What fuse-native cannot is stated in the row, and it is
 * checked that this is still so.
 */
import type { Test } from 'tap';
import type { Driver } from '../../lib/mount/driver.js';
import { skipUnless } from '../kit/requirements.js';
import type { Row } from './conformance.js';
import { DATA_ROWS } from './conformance-data.js';
import { MOUNT_ROWS } from './conformance-mount.js';
import { NODE_ROWS } from './conformance-nodes.js';
import { MountedStore, type MountpointKind } from './mounted-store.js';

export const ROWS: readonly Row[] = [...NODE_ROWS, ...DATA_ROWS, ...MOUNT_ROWS];

/** For tap's `skip`. */
export function skipFor(driver: Driver, tools: readonly string[] = []): string | false {
  return skipUnless({ root: true, fuse: true, fuseNative: driver === 'fuse-native', tools });
}

async function check(t: Test, row: Row, mounted: MountedStore): Promise<void> {
  const difference = mounted.driver === 'fuse-native' ? row.fuseNative : undefined;
  const { expected } = difference ?? row;
  t.strictSame(
    await row.observe(mounted),
    expected,
    difference ? `differs: ${difference.why}` : 'as a block device',
  );
}

/** Runs every row that the driver has for this kind of mountpoint. */
export async function runRows(t: Test, driver: Driver, kind: MountpointKind): Promise<void> {
  const rows = ROWS.filter((row) => (row.kind ?? kind) === kind && (row.driver ?? driver) === driver);
  const shared = await MountedStore.mount(t, driver, kind);
  for (const row of rows) {
    await t.test(row.name, { skip: skipFor(driver, row.tools) }, async (t) => {
      await check(t, row, row.mount ? await MountedStore.mount(t, driver, kind, row.mount) : shared);
    });
  }
}
