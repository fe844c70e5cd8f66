/**
 * The process that serves a test store, as a daemon does a volume: apart from the test, which then may block in its own
 * system calls on the mount whatever thread serves them, and may die without taking the server's threads for its own.
 * Answers the calls of mounted-store.ts.
 */
import { Device } from '../../lib/device.js';
import { type Driver, startDriver } from '../../lib/mount/driver.js';
import type { MountSession, SessionOptions } from '../../lib/mount/mount-session.js';
import { storeModule, TestStore } from './dev-fuse-store.js';

export interface HostRequest {
  driver: Driver;
  backing: string;
  sizeBytes: number;
  isReadOnly: boolean;
  allowsDiscards: boolean;
  session: Omit<SessionOptions, 'store' | 'storeModule' | 'storeHandle'>;
}

/** The code of what went wrong, or null. */
export type Outcome = { code: string; message: string } | null;

let session: MountSession | null = null;
let store: TestStore | null = null;

async function start({ driver, backing, session: options, ...traits }: HostRequest) {
  const device = Device.open(backing, traits);
  const faults = new SharedArrayBuffer(64);
  store = new TestStore({ device: device.handle, ...traits, faults });
  session = await startDriver(driver, { ...options, store, storeModule, storeHandle: store.handle });
  return { mountpoint: session.mountpoint, path: session.filePath };
}

const calls = {
  start,
  setFault: async (index: number, value: number) => {
    store!.faults[index] = value;
  },
  fault: async (index: number) => store!.faults[index]!,
  activity: async () => session!.activity(),
  unmount: (how: { lazy?: boolean }) => session!.unmount(how),
  closed: async (): Promise<Outcome> => {
    const { error } = await session!.closed;
    return error ? { code: (error as NodeJS.ErrnoException).code ?? '', message: error.message } : null;
  },
};

export type HostCalls = typeof calls;

process.on('message', async ({ id, call, args }: { id: number; call: keyof HostCalls; args: never[] }) => {
  try {
    const result = await (calls[call] as (...args: never[]) => Promise<unknown>)(...args);
    process.send!({ id, result });
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    process.send!({ id, error: { code, message } });
  }
});

// Without its test the mount has no user; once it is gone, nothing keeps this process.
process.on('disconnect', () => {
  session?.unmount({ lazy: true }).catch(() => {});
});
