/**
 * Unmounts what nobody has used for a while.
 */
import createDebug from 'debug';
import type { Activity } from './mount-session.js';

const debug = createDebug('luksfuse:mount');

const MINUTE_MS = 60_000;
/** Looks so often within the time, so that it ends at most a tenth late. */
const LOOKS = 10;

interface Idler {
  describe(): Promise<{ activity: Activity }>;
  unmount(): Promise<unknown>;
}

/**
 * Unmounts once no request has come for `idleMinutes`; while a program holds the file open the mount stays (BUSY) and
 * the time begins anew. Returns what ends the watch.
 */
export function unmountWhenIdle(mount: Idler, idleMinutes: number): () => void {
  const idleMs = idleMinutes * MINUTE_MS;
  let requests = 0;
  let sinceMs = Date.now();
  const timer = setInterval(async () => {
    const now = (await mount.describe()).activity.requests;
    if (now !== requests) {
      requests = now;
      sinceMs = Date.now();
    }
    if (Date.now() - sinceMs < idleMs) return;
    sinceMs = Date.now();
    mount.unmount().catch((error: Error) => debug('idle, but %s', error.message));
  }, idleMs / LOOKS);
  timer.unref();
  return () => clearInterval(timer);
}
