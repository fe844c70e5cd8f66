/**
 * What a call that may fail failed with.
 */

/** The code of the error that `work` throws (`EIO`, `BUSY`), or null where it throws none. */
export function codeOf(work: () => unknown): string | null {
  try {
    work();
    return null;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}
