/**
 * Loads koffi and hands out C functions of the running process (libc, and the OpenSSL that node itself
 * links), or of a library of the system. The only place that knows how a C function is found. Where koffi cannot be
 * used, every lookup is null and the callers fall back or say what is lost.
 */
import { createRequire } from 'node:module';
import createDebug from 'debug';

type Koffi = typeof import('koffi');

const debug = createDebug('luksfuse:native');
const require = createRequire(import.meta.url);

function loadKoffi(): { koffi: Koffi; lack: null } | { koffi: null; lack: string } {
  try {
    const koffi = require('koffi') as Koffi;
    // Our prototypes and structures have addresses, and what is as wide, as 64-bit numbers.
    if (koffi.sizeof('void *') === 8) return { koffi, lack: null };
    return { koffi: null, lack: `${process.arch} has 32-bit addresses` };
  } catch (error) {
    return { koffi: null, lack: (error as Error).message.split('\n')[0]! };
  }
}

const loaded = loadKoffi();
if (loaded.lack) debug('koffi is not usable here: %s', loaded.lack);

export const koffi = loaded.koffi;
/** Why no C function can be called here; null where they can. */
export const koffiLack = loaded.lack;
const processSymbols = koffi?.load(null) ?? null;

type FindFunction = <F extends (...args: never[]) => unknown>(prototype: string) => F | null;

/**
 * The C function of the process with this prototype, or null where koffi or the symbol is missing.
 * Pointers are passed as addresses (bigint) or as the Buffer or ArrayBuffer they point into.
 */
export const findFunction: FindFunction = (prototype) => findIn(processSymbols, prototype);

function findIn<F extends (...args: never[]) => unknown>(
  library: ReturnType<Koffi['load']> | null,
  prototype: string,
): F | null {
  try {
    return (library?.func(prototype) as unknown as F | undefined) ?? null;
  } catch {
    debug('not there: %s', prototype);
    return null;
  }
}

/** `findFunction` for the shared library `name`, loaded for good; null where the system has none. */
export function loadLibrary(name: string): FindFunction | null {
  try {
    const library = koffi?.load(name) ?? null;
    return library && ((prototype) => findIn(library, prototype));
  } catch (error) {
    debug('%s is not usable here: %s', name, (error as Error).message);
    return null;
  }
}

/** `errno` of the C call made last on this thread, positive. */
export function lastErrno(): number {
  return koffi?.errno() ?? 0;
}
