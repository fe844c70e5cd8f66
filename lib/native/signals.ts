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
 * Blocks all signals of this thread until `work` is done. Threads that are started meanwhile inherit that, and never take
 * one. Where C cannot be called, this only runs `work`.
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
