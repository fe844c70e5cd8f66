/**
 * The programs that are compared, each serving the plaintext of its own copy of one LUKS1 image as a file.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { clearMount, mustLuksfuse } from '../kit/luksfuse.js';
import { findMount } from '../kit/mounts.js';
import { findHolders, requireHolder, statusKiB, waitUntil } from '../kit/processes.js';

export interface Contestant {
  name: string;
  /** The plaintext file. */
  file: string;
  /** Highest resident memory of the serving process so far. */
  peakRssMiB(): number;
  stop(): Promise<void>;
}

function isOpenForWriting(file: string): boolean {
  try {
    fs.closeSync(fs.openSync(file, 'r+'));
    return true;
  } catch {
    return false;
  }
}

async function stopProcess(child: ChildProcess, mountpoint: string): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  await exit;
  await clearMount(mountpoint);
}

/** QEMU's storage daemon, which exports the plaintext through FUSE on a regular file. */
export async function startQemu(dir: string, image: string, keyFile: string): Promise<Contestant> {
  const mountpoint = path.join(dir, 'qemu');
  fs.writeFileSync(mountpoint, '');
  const settings = [
    ['--object', `secret,id=key,file=${keyFile}`],
    ['--blockdev', `driver=file,node-name=file,filename=${image}`],
    ['--blockdev', 'driver=luks,node-name=plain,file=file,key-secret=key'],
    ['--export', `type=fuse,id=fuse,node-name=plain,mountpoint=${mountpoint},writable=on`],
  ];
  const child = spawn('qemu-storage-daemon', settings.flat(), { stdio: ['ignore', 'ignore', 'inherit'] });
  await once(child, 'spawn');
  await waitUntil('QEMU serves', () => findMount(mountpoint) !== null && isOpenForWriting(mountpoint));
  return {
    name: 'qemu-storage-daemon',
    file: mountpoint,
    peakRssMiB: () => statusKiB(child.pid!, 'VmHWM') / 1024,
    stop: () => stopProcess(child, mountpoint),
  };
}

/** Our own mount of the image, in the background as a user would have it. */
export async function startLuksfuse(
  dir: string,
  image: string,
  keyFile: string,
  args: readonly string[] = [],
  name = 'luksfuse',
): Promise<Contestant> {
  const mountpoint = fs.mkdtempSync(path.join(dir, 'luksfuse-'));
  await mustLuksfuse(['mount', ...args, '--key-file', keyFile, image, mountpoint]);
  const daemon = requireHolder(image);
  return {
    name,
    file: path.join(mountpoint, 'payload'),
    peakRssMiB: () => statusKiB(daemon, 'VmHWM') / 1024,
    async stop() {
      await mustLuksfuse(['umount', mountpoint]);
      if (findHolders(image).length > 0) throw new Error(`${image} is still open after umount`);
    },
  };
}
