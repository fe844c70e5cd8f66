/**
 * The kernel that guests boot and its modules, as fetch-guest-kernel.sh unpacked them into the cache.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export interface GuestKernel {
  /** The bzImage. */
  image: string;
  /** /lib/modules/RELEASE of the guest, with modules.dep and modules.alias. */
  modulesDir: string;
  release: string;
}

/** Null where the kernel has not been fetched. */
export function findGuestKernel(): GuestKernel | null {
  const cacheDir = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache');
  const root = path.join(cacheDir, 'luksfuse/guest');
  const [release] = fs.existsSync(root) ? fs.readdirSync(path.join(root, 'lib/modules')) : [];
  if (!release) return null;
  const modulesDir = path.join(root, 'lib/modules', release);
  return { image: path.join(root, 'boot', `vmlinuz-${release}`), modulesDir, release };
}

export function requireGuestKernel(): GuestKernel {
  const kernel = findGuestKernel();
  if (!kernel) throw new Error('there is no kernel for a guest; run test/kit/fetch-guest-kernel.sh');
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
