/**
 * The ceiling of our own FUSE path: the session and workers of a real mount, over a store without a cipher.
 */
import fs from 'node:fs';
import path from 'node:path';
import { Device } from '../../lib/device.js';
import { startSession } from '../../lib/mount/session.js';
import type { Contestant } from './contestants.js';
import { NullStore } from './null-store.js';

/** Mounts the bytes of `image` as they are, served by this process; each read takes `readDelayMs` more. */
export async function startNullMount(dir: string, image: string, readDelayMs = 0): Promise<Contestant> {
  const mountpoint = fs.mkdtempSync(path.join(dir, 'null-'));
  const device = Device.open(image, { isReadOnly: false });
  const handle = { device: device.handle, readDelayMs };
  const session = await startSession({
    mountpoint,
    store: new NullStore(handle),
    storeModule: new URL('./null-store.js', import.meta.url).href,
    storeHandle: handle,
    source: image,
  });
  return {
    name: 'no cipher',
    file: session.filePath,
    peakRssMiB: () => process.resourceUsage().maxRSS / 1024,
    async stop() {
      await session.unmount();
      device.close();
    },
  };
}
