/**
 * Which signals a thread takes.
 */
import { findFunction } from './library.js';

/** bits/sigaction.h */
const SIG_BLOCK = 0;
const SIG_SETMASK = 2;
/** sizeof(sigset_t), in the C libraries that there are for Linux */
const SIGSET_BYTES = 128;

const cSigmask = findFunction<(how: number, set: Uint8Array, before: Uint8Array) => number>(
  'int pthread_sigmask(int how, void *set, void *before)',
);

/**
 * Threads that are started meanwhile take no signal, ever; this one takes what came when all is done. Where C cannot be
 * called nothing is different.
 */
export async function withSignalsBlocked<T>(work: () => Promise<T>): Promise<T> {
  const before = new Uint8Array(SIGSET_BYTES);
  cSigmask?.(SIG_BLOCK, new Uint8Array(SIGSET_BYTES).fill(0xff), before);
  try {
    return await work();
  } finally {
    cSigmask?.(SIG_SETMASK, before, new Uint8Array(SIGSET_BYTES));
  }
}
