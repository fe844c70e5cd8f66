/**
 * Where the daemons of a user can be reached, and what is noted beside them: one socket per mount in a directory only the
 * user enters. It is named by the number of the mount's connection: paths may change, and be others in other places.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { isSystemError, LuksError } from '../errors.js';

const NAME = 'luksfuse';

/** A directory that nobody else can enter or has made. su(1) and sudo(8) may leave the variables of the user before. */
function isOwnDirectory(directory: string, uid: number): boolean {
  try {
    const stat = fs.lstatSync(directory);
    return stat.uid === uid && stat.isDirectory() && (stat.mode & 0o077) === 0;
  } catch {
    return false;
  }
}

/** Where a user's may be, the best first: a directory of the system's, or in a place that others may take first. */
function candidates(uid: number): string[] {
  const home = uid === process.geteuid?.() ? [path.join(os.homedir(), '.cache', NAME)] : [];
  const shared = [`/tmp/${NAME}-${uid}`, ...home];
  if (uid === 0) return [`/run/${NAME}`, ...shared];
  const ofSession = process.env.XDG_RUNTIME_DIR;
  const places = [`/run/user/${uid}`, ...(ofSession ? [ofSession] : [])];
  const own = places.filter((place) => isOwnDirectory(place, uid)).map((place) => path.join(place, NAME));
  return [...own.reverse(), ...shared];
}

/** Those of them that are there. */
function findDirectories(uid: number): string[] {
  return candidates(uid).filter((directory) => isOwnDirectory(directory, uid));
}

/** The directory to make something in, made if missing. Throws DEVICE_IO where this user has no place for one. */
export function openRuntimeDirectory(): string {
  const uid = process.geteuid?.() ?? 0;
  const reasons: string[] = [];
  for (const directory of candidates(uid)) {
    try {
      fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    } catch (error) {
      if (!isSystemError(error)) throw error;
      reasons.push(error.message);
      continue;
    }
    if (isOwnDirectory(directory, uid)) return directory;
    reasons.push(`${directory} is another user's, or open to others`);
  }
  const cure = 'set XDG_RUNTIME_DIR to a directory only you can enter';
  throw new LuksError(
    'DEVICE_IO',
    `there is no place for the sockets of mounts (${reasons.join('; ')}); ${cure}`,
  );
}

/** Where the daemon of a mount listens. */
export function newSocketPath(connection: number): string {
  return path.join(openRuntimeDirectory(), `${connection}.sock`);
}

/** Where it may be listening, that of the user `ownerUid`. */
export function findSocketPaths(connection: number, ownerUid: number): string[] {
  return findDirectories(ownerUid)
    .map((directory) => path.join(directory, `${connection}.sock`))
    .filter((socket) => fs.existsSync(socket));
}

function noteOf(directory: string, owner: string): string {
  const name = createHash('sha256').update(owner).digest('hex').slice(0, 16);
  return path.join(directory, `${name}.vms.json`);
}

/** What notes the VMs that the file at `owner`, absolute and without links, was handed to. */
export function newNotePath(owner: string): string {
  return noteOf(openRuntimeDirectory(), owner);
}

/** Where such notes may be. */
export function findNotePaths(owner: string): string[] {
  return findDirectories(process.geteuid?.() ?? 0)
    .map((directory) => noteOf(directory, owner))
    .filter((note) => fs.existsSync(note));
}
