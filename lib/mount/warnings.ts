/**
 * What a mount has to do without on this machine, with the cure: for the command that mounts, and for `status`.
 */
import { koffiLack } from '../native/library.js';
import { findSharingObstacle } from '../native/shared-memory.js';
import type { MountSession } from './mount-session.js';
import type { ServeOptions } from './serve-options.js';

const NOT_LOCKED =
  'keys are in memory that is not locked and may be swapped out; raise the limit ("ulimit -l unlimited", ' +
  '"LimitMEMLOCK=infinity" in a unit, "docker run --ulimit memlock=-1"), or encrypt the swap';

/** Called where nobody supervises. */
function findSupervisionLack({ driver, isSupervised }: ServeOptions): string | null {
  const obstacle = isSupervised && driver === 'dev-fuse' ? findSharingObstacle() : null;
  if (obstacle === null) return null;
  return (
    `the mount is not supervised and ends with its process, since memory cannot be shared (${obstacle}); ` +
    "allow memfd_create(2), which a container's seccomp profile may forbid, or give --no-supervise"
  );
}

/** What is lost if no C function can be called: supervision too, if it was asked for. */
function describeKoffiLack({ driver, isSupervised }: ServeOptions): string {
  const unsupervised = isSupervised && driver === 'dev-fuse' ? 'nobody supervises the mount, and ' : '';
  return (
    `the package koffi cannot be used here (${koffiLack}): ${unsupervised}the key is kept neither from swap nor ` +
    'from other programs of this user'
  );
}

export function listWarnings(session: MountSession, options: ServeOptions): string[] {
  if (koffiLack) return [describeKoffiLack(options)];
  const lack = findSupervisionLack(options);
  return [...(session.hasUnlockedKeys ? [NOT_LOCKED] : []), ...(lack === null ? [] : [lack])];
}
