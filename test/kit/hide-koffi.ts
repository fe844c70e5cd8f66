/**
 * Loaded before the program, makes the machine one that package koffi has no build for: this process, its threads and
 * the processes that it starts.
 */
import Module from 'node:module';

const loader = Module as unknown as { _load(request: string, ...rest: unknown[]): unknown };
const load = loader._load;

loader._load = (request, ...rest) => {
  if (request === 'koffi')
    throw new Error('Cannot find the native Koffi module; did you bundle it correctly?');
  return load(request, ...rest);
};
