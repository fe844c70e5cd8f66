/**
 * Which program may be given the key of a running mount. Whoever reaches the control socket may name one, and that may
 * be a program of the user's that another has talked him into running; but the processes of a mount keep their key even
 * from their own user. So it must be as hard to write to as the program that runs already.
 */
import fs from 'node:fs';
import path from 'node:path';
import { LuksError } from '../errors.js';
import type { ServerProgram } from './control.js';

const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;

/** The file and the directories it lies in, without links. */
function listPlaces(file: string): string[] {
  const places = [fs.realpathSync(file)];
  while (places.at(-1) !== '/') places.push(path.dirname(places.at(-1)!));
  return places;
}

function requireSafe(place: string, owners: ReadonlySet<number>): void {
  const { uid, mode } = fs.statSync(place);
  const isShared = (mode & WRITABLE_BY_OTHERS) !== 0 && (mode & STICKY) === 0;
  if (owners.has(uid) && !isShared) return;
  throw new LuksError(
    'BAD_ARGUMENT',
    `${place} can be changed by others than root and the owner of the program that serves now; install it safely`,
  );
}

/** Throws BAD_ARGUMENT where somebody could have written `program` who could not have written `current`. */
export function requireTrustedProgram(program: ServerProgram, current: ServerProgram): void {
  const owners = new Set([0, fs.statSync(current.entry).uid]);
  for (const file of [program.node, program.entry]) {
    for (const place of listPlaces(file)) requireSafe(place, owners);
  }
}
