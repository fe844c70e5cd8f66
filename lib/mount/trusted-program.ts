/**
 * Which program may be given the key of a running mount. Anyone who reaches the control socket may name one, which may be
 * a program of the user's that somebody talked him into running; but the processes of a mount keep their key even from their
 * own user. So it must be an installed luksfuse, as hard to write to as the one that is running, with all packages that it
 * loads; and it is run by our own runtime, because others load code of the user's before they come to the script.
 *
 * What was checked is what is started, though it is opened by its path: the check goes down from the root and follows links
 * itself, and no directory on the way lets anybody else put another file, or a mount, in the place of one that was checked.
 */
import fs from 'node:fs';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { isSystemError, LuksError } from '../errors.js';

const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;
/** As many as Linux follows (path_resolution(7)). */
const MAX_LINKS = 40;
/** Of an installed package. */
const PACKAGE_NAME = 'luksfuse';
const ENTRY = 'dist/lib/program/server-main.js';

/** As this process found them when it started: by now they may have been replaced. */
const OWN_FILE = fileURLToPath(import.meta.url);
const TRUSTED_OWNERS: ReadonlySet<number> = new Set([0, fs.statSync(OWN_FILE).uid]);
const PROGRAM_DEVICE = findDevice(path.dirname(OWN_FILE));
const RUNTIME_DEVICE = findDevice(path.dirname(process.execPath));

/** The file system that `place` is on; null if there is no such place. */
function findDevice(place: string): number | null {
  return fs.statSync(place, { throwIfNoEntry: false })?.dev ?? null;
}

function refuse(why: string): LuksError {
  return new LuksError('BAD_ARGUMENT', `${why}; install it safely, or unmount, and mount again`);
}

function requireSafe(place: string, stat: fs.Stats): void {
  const isSticky = stat.isDirectory() && (stat.mode & STICKY) !== 0;
  const isShared = !stat.isSymbolicLink() && !isSticky && (stat.mode & WRITABLE_BY_OTHERS) !== 0;
  if (TRUSTED_OWNERS.has(stat.uid) && !isShared) return;
  throw refuse(`${place} can be changed by others than root and the owner of the program that serves now`);
}

/** The path of `file` without links, no step of which others can change. */
async function resolveSafely(file: string): Promise<string> {
  let place = '/';
  let linkCount = 0;
  requireSafe(place, await lstat(place));
  const rest = file.split('/').reverse();
  for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
    const next = path.join(place, name);
    const stat = await lstat(next);
    requireSafe(next, stat);
    if (stat.isSymbolicLink()) {
      if (++linkCount > MAX_LINKS) throw refuse(`${file} leads through too many links`);
      const target = await readlink(next);
      if (path.isAbsolute(target)) place = '/';
      rest.push(...target.split('/').reverse());
    } else place = next;
  }
  return place;
}

/** As `resolveSafely`; null where there is no such file. */
async function findSafely(file: string): Promise<string | null> {
  try {
    return await resolveSafely(file);
  } catch (error) {
    if (isSystemError(error) && error.code === 'ENOENT') return null;
    throw error;
  }
}

/** Of other file systems the owner of files may be what a user says, if the user was allowed to mount them. */
async function requireDevice(directory: string, device: number | null): Promise<void> {
  if ((await lstat(directory)).dev === device) return;
  throw refuse(`${directory} is on another file system than the program that serves now`);
}

/** All files in `directory` but those of other packages. */
async function requireSafeTree(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (name === 'node_modules') continue;
    const place = path.join(directory, name);
    const stat = await lstat(place);
    requireSafe(place, stat);
    if (stat.isSymbolicLink()) throw refuse(`${place} is a link, which no part of a package is`);
    if (stat.isDirectory()) await requireSafeTree(place);
  }
}

interface Manifest {
  name?: unknown;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

/**
 * A package, and those it depends on wherever Node may look for them.
 * @param code the directory with the modules that are run, `directory` or one in it
 * @param seen the packages that were checked
 */
async function requireSafePackage(
  directory: string,
  code: string,
  seen: Set<string>,
  name?: string,
): Promise<void> {
  if (seen.has(code)) return;
  seen.add(code);
  await requireDevice(code, PROGRAM_DEVICE);
  await requireSafeTree(code);
  const file = await resolveSafely(path.join(directory, 'package.json'));
  const manifest = JSON.parse(await readFile(file, 'utf8')) as Manifest;
  if (name !== undefined && manifest.name !== name) throw refuse(`${directory} is no installed ${name}`);
  for (const dependency of Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })) {
    for (let above = code; ; above = path.dirname(above)) {
      const found = await findSafely(path.join(above, 'node_modules', dependency));
      if (found !== null) await requireSafePackage(found, found, seen);
      if (above === '/') break;
    }
  }
}

/**
 * The path by which `entry`, the server of an installed luksfuse, may be started. Throws BAD_ARGUMENT where it is none, or
 * where somebody could have written to it who could not have written to the program that runs.
 */
export async function requireTrustedEntry(entry: string): Promise<string> {
  const real = await resolveSafely(path.resolve('/', entry));
  if (!real.endsWith(`/${ENTRY}`)) throw refuse(`${entry} is not the server of an installed ${PACKAGE_NAME}`);
  const directory = real.slice(0, -ENTRY.length - 1);
  await requireSafePackage(directory, path.dirname(real), new Set(), PACKAGE_NAME);
  return real;
}

/**
 * What to run our own modules by: the file that this process was started from, which may have become a newer version; but
 * what runs already where others could have written to that file, or where it is gone.
 */
export async function findRuntime(): Promise<string> {
  try {
    const real = await resolveSafely(process.execPath);
    await requireDevice(path.dirname(real), RUNTIME_DEVICE);
    return real;
  } catch {
    return '/proc/self/exe';
  }
}
