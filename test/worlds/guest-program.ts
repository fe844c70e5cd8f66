/**
 * The disk that brings luksfuse, and what a script needs with it, into a guest whose root is Debian's (guest-root.sh).
 */
import fs from 'node:fs';
import path from 'node:path';
import { type GuestKernel, guestCacheDir } from '../kit/guest-kernel.js';
import { PROJECT_DIR } from '../kit/luksfuse.js';
import { mustRun } from '../kit/run.js';

/** What the bundled program leaves outside (lib/bundle.mjs). */
const PACKAGES = ['koffi', '@node-rs/argon2'];
/** The native part of each, by the guest's architecture. */
const NATIVE_PACKAGES: Readonly<Record<GuestKernel['arch'], readonly string[]>> = {
  amd64: ['@koromix/koffi-linux-x64', '@node-rs/argon2-linux-x64-gnu'],
  arm64: ['@koromix/koffi-linux-arm64', '@node-rs/argon2-linux-arm64-gnu'],
};
/** The large ones of what builds and lints the project, and no test needs. */
const BUILD_PACKAGES =
  /node_modules\/(@biomejs|@esbuild|@typescript|assemblyscript|binaryen|typescript|tshy)(\/|$)/;

export interface ProgramDisk {
  arch: GuestKernel['arch'];
  /** Files by their names on the disk, which is /program in the guest. */
  files: Readonly<Record<string, string>>;
  /** Brings this machine's Node.js along. */
  withNode: boolean;
  /** Brings the compiled tests and their packages along. */
  withTests: boolean;
}

const modulePath = (name: string) => path.join(PROJECT_DIR, 'node_modules', name);

/** A package as it is installed, or, if it is for another machine than this, as the registry has it. */
async function requirePackage(name: string, parent: string): Promise<string> {
  if (fs.existsSync(modulePath(name))) return modulePath(name);
  const { optionalDependencies } = JSON.parse(
    fs.readFileSync(path.join(modulePath(parent), 'package.json'), 'utf8'),
  );
  const wanted = `${name}@${optionalDependencies[name]}`;
  const dir = path.join(guestCacheDir(), 'npm', wanted);
  if (fs.existsSync(dir)) return dir;
  const work = fs.mkdtempSync(path.join(guestCacheDir(), 'npm-'));
  await mustRun('sh', ['-ec', 'tar -xzf "$(npm pack --silent "$1")"', 'sh', wanted], { cwd: work });
  fs.mkdirSync(path.dirname(dir), { recursive: true });
  fs.renameSync(path.join(work, 'package'), dir);
  fs.rmSync(work, { recursive: true });
  return dir;
}

async function copyProgram(dir: string, { arch, withTests }: ProgramDisk): Promise<void> {
  const copy = (from: string, to: string) =>
    fs.cpSync(from, path.join(dir, to), {
      recursive: true,
      filter: (file) => !BUILD_PACKAGES.test(file),
      verbatimSymlinks: true,
    });
  const parts = withTests ? ['dist', 'node_modules'] : ['dist/lib'];
  for (const part of ['bin', 'package.json', ...parts]) copy(path.join(PROJECT_DIR, part), part);
  for (const [index, name] of PACKAGES.entries()) {
    const native = NATIVE_PACKAGES[arch][index]!;
    copy(modulePath(name), `node_modules/${name}`);
    copy(await requirePackage(native, name), `node_modules/${native}`);
  }
}

/** Makes it, as an image of ext4, with a directory of its own beside `file` meanwhile. */
export async function makeProgramDisk(file: string, disk: ProgramDisk): Promise<void> {
  const dir = `${file}.contents`;
  await copyProgram(path.join(dir, 'luksfuse'), disk);
  for (const [name, source] of Object.entries(disk.files)) fs.copyFileSync(source, path.join(dir, name));
  if (disk.withNode) {
    fs.mkdirSync(path.join(dir, 'bin'));
    fs.copyFileSync(process.execPath, path.join(dir, 'bin/node'));
  }
  fs.writeFileSync(file, '');
  await mustRun('mkfs.ext4', ['-q', '-F', '-O', '^has_journal', '-d', dir, file, '1G']);
  fs.rmSync(dir, { recursive: true });
}
