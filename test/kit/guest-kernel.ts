/**
 * The kernel that guests boot and its modules, as fetch-guest-kernel.sh unpacked them into the cache.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export interface GuestKernel {
  arch: 'amd64' | 'arm64';
  /** What QEMU boots. */
  image: string;
  /** A static busybox for this kernel's machine. */
  busybox: string;
  /** /lib/modules/RELEASE of the guest, with modules.dep and modules.alias. */
  modulesDir: string;
  release: string;
}

/** What guests boot if a test does not care: Debian 12's. */
export const DEFAULT_KERNEL = 'bookworm-cloud-amd64';

/** Where fetch scripts put what guests are made of. */
export function guestCacheDir(): string {
  return path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'luksfuse/guest');
}

function requireFile(...candidates: string[]): string {
  const file = candidates.find((candidate) => fs.existsSync(candidate));
  if (!file)
    throw new Error(`a guest's kernel was not unpacked whole: ${candidates.join(' or ')} is missing`);
  return file;
}

/**
 * Null if the kernel has not been fetched.
 * @param name SUITE-FLAVOUR, such as trixie-arm64-16k
 */
export function findGuestKernel(name = DEFAULT_KERNEL): GuestKernel | null {
  const root = path.join(guestCacheDir(), name);
  if (!fs.existsSync(root)) return null;
  const [release] = fs.readdirSync(path.join(root, 'lib/modules')) as [string];
  const modulesDir = path.join(root, 'lib/modules', release);
  return {
    arch: name.includes('arm64') ? 'arm64' : 'amd64',
    // Since Debian 14 it lies beside its modules.
    image: requireFile(path.join(root, 'boot', `vmlinuz-${release}`), path.join(modulesDir, 'vmlinuz')),
    busybox: requireFile(path.join(root, 'bin/busybox'), path.join(root, 'usr/bin/busybox')),
    modulesDir,
    release,
  };
}

export function requireGuestKernel(name = DEFAULT_KERNEL): GuestKernel {
  const kernel = findGuestKernel(name);
  if (!kernel) throw new Error(`there is no kernel ${name} for a guest; run test/kit/fetch-guest-kernel.sh`);
  return kernel;
}

/** Where a module lies under modulesDir, and what must be loaded before it. */
type ModuleTable = ReadonlyMap<string, readonly string[]>;

/** modules.dep: `file: file file …`, dependencies of dependencies included. */
function loadModuleTable(kernel: GuestKernel): ModuleTable {
  const lines = fs.readFileSync(path.join(kernel.modulesDir, 'modules.dep'), 'utf8').trimEnd().split('\n');
  return new Map(
    lines.map((line) => {
      const [file, needs] = line.split(':') as [string, string];
      return [file, needs.split(' ').filter(Boolean)];
    }),
  );
}

/** `dm-crypt` for `kernel/drivers/md/dm-crypt.ko.xz`; the kernel takes - and _ for the same. */
function moduleName(file: string): string {
  return path
    .basename(file)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');
}

/** Files under modulesDir of all modules that `isWanted` accepts by file or by name, and of what they need. */
export function findModules(
  kernel: GuestKernel,
  isWanted: (file: string, name: string) => boolean,
): string[] {
  const table = loadModuleTable(kernel);
  const wanted = [...table].filter(([file]) => isWanted(file, moduleName(file)));
  return [...new Set(wanted.flatMap(([file, needs]) => [file, ...needs]))];
}
