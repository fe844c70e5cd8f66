/**
 * Loaded before the program, has every opening of a file named `payload` take its time.
 */
import fs from 'node:fs';

const open = fs.openSync;
fs.openSync = (file, ...how) => {
  if (String(file).endsWith('/payload')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  return open(file, ...how);
};
