/** Waits on this thread, whatever else it would have to do. Not for a main thread that others wait for. */
export function sleepSync(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
