/**
 * A real mount of a real volume whose payload fails when the test says so: made, checked, and surely gone again
 * afterwards.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import type { CacheMode } from '../../lib/fuse/cache-policy.js';
import { startSession } from '../../lib/mount/session.js';
import { formatVolume } from '../../lib/volume/create.js';
import { openVolume } from '../../lib/volume/open.js';
import { findMount } from '../kit/mounts.js';
import { PayloadFaults, storeModule } from '../kit/payload-faults.js';
import { makeTempDir } from '../kit/temp.js';

export interface FaultyMount {
  /** The plaintext file. */
  file: string;
  faults: PayloadFaults;
  /** What the volume holds, as far as the test knows. */
  model: Buffer;
  /** What another program finds in the payload, past the mount. */
  stored(): Promise<Buffer>;
  /** Throws what the last sync threw. */
  unmount(): Promise<void>;
}

export interface FaultyMountOptions {
  cache: CacheMode;
  sectorBytes?: number;
  sizeBytes?: number;
  workerCount?: number;
}

export async function mountFaulty(t: Test, options: FaultyMountOptions): Promise<FaultyMount> {
  const { cache, sectorBytes = 4096, sizeBytes = 4 * 1024 * 1024, workerCount = 2 } = options;
  const dir = makeTempDir(t);
  const [payload, header, mountpoint] = ['payload', 'header', 'mountpoint'].map((name) =>
    path.join(dir, name),
  ) as [string, string, string];
  const passphrase = randomBytes(16);
  fs.writeFileSync(payload, Buffer.alloc(sizeBytes));
  fs.mkdirSync(mountpoint);
  const pbkdf = { type: 'pbkdf2', forceIterations: 1000 } as const;
  await formatVolume({ header, payload }, passphrase, { sectorSizeBytes: sectorBytes, pbkdf });

  const open = (isReadOnly: boolean) =>
    openVolume(payload, { passphrase }, { headerPath: header, isReadOnly });
  const volume = await open(false);
  const model = randomBytes(volume.sizeBytes);
  volume.write(model, 0);
  const faults = new PayloadFaults();
  const session = await startSession({
    ...{ mountpoint, cache, workerCount, storeModule },
    store: volume,
    storeHandle: { volume: volume.handle, faults: faults.memory },
    source: payload,
  });
  t.teardown(async () => {
    faults.clear();
    if (findMount(session.mountpoint)) await session.unmount({ lazy: true });
    await session.closed;
    volume.close();
  });
  const copy = path.join(dir, 'copy');
  return {
    file: session.filePath,
    faults,
    model,
    async stored() {
      // A copy, since the payload itself is claimed by the mount.
      fs.copyFileSync(payload, copy);
      const other = await openVolume(copy, { passphrase }, { headerPath: header, isReadOnly: true });
      const bytes = Buffer.alloc(other.sizeBytes);
      other.read(bytes, 0);
      other.close();
      return bytes;
    },
    unmount: () => session.unmount(),
  };
}
