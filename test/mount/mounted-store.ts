/**
 * A mount of a test store by either driver, served by a process of its own: made, steered, and surely gone again
 * afterwards.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type { Driver } from '../../lib/mount/driver.js';
import { findMount } from '../kit/mounts.js';
import { Random } from '../kit/random.js';
import { forkPlain } from '../kit/run.js';
import { makeTempDir } from '../kit/temp.js';
import type { HostCalls, HostRequest, Outcome } from './session-host.js';

export type MountpointKind = 'directory' | 'file';

export interface StoreRequest extends Partial<HostRequest['session']> {
  sizeBytes?: number;
  isReadOnly?: boolean;
  allowsDiscards?: boolean;
}

const HOST = fileURLToPath(new URL('./session-host.js', import.meta.url));
const EXIT_MS = 10_000;

type Answer = { id: number; result?: unknown; error?: { code: string; message: string } };

export class MountedStore {
  readonly driver: Driver;
  readonly kind: MountpointKind;
  readonly directory: string;
  readonly backing: string;
  readonly mountpoint: string;
  /** The plaintext file. */
  path = '';
  readonly #host: ChildProcess;
  #lastId = 0;

  private constructor(driver: Driver, kind: MountpointKind, directory: string) {
    this.driver = driver;
    this.kind = kind;
    this.directory = directory;
    this.backing = join(directory, 'backing');
    this.mountpoint = join(directory, 'mountpoint');
    this.#host = forkPlain(HOST);
  }

  /** Throws with the code of the error where it cannot be mounted. */
  static async mount(
    t: Test,
    driver: Driver,
    kind: MountpointKind,
    request: StoreRequest = {},
  ): Promise<MountedStore> {
    const { sizeBytes = 4 * 1024 * 1024, isReadOnly = false, allowsDiscards = false, ...session } = request;
    const mounted = new MountedStore(driver, kind, makeTempDir(t));
    t.teardown(() => mounted.#end());
    const { backing, mountpoint } = mounted;
    fs.writeFileSync(backing, new Random(1).bytes(sizeBytes));
    if (kind === 'file') fs.writeFileSync(mountpoint, 'beneath');
    else fs.mkdirSync(mountpoint);
    const options = { mountpoint, source: 'test-store', ...session };
    const { path } = await mounted.#call('start', {
      driver,
      backing,
      sizeBytes,
      isReadOnly,
      allowsDiscards,
      session: options,
    });
    mounted.path = path;
    return mounted;
  }

  /** The process that serves it. */
  get hostPid(): number {
    return this.#host.pid!;
  }

  setFault(index: number, value: number): Promise<void> {
    return this.#call('setFault', index, value);
  }

  fault(index: number): Promise<number> {
    return this.#call('fault', index);
  }

  activity() {
    return this.#call('activity');
  }

  /** Rejects with the code of what went wrong. */
  unmount(how: { lazy?: boolean } = {}): Promise<void> {
    return this.#call('unmount', how);
  }

  /** How the session ended. */
  closed(): Promise<Outcome> {
    return this.#call('closed');
  }

  #call<C extends keyof HostCalls>(call: C, ...args: Parameters<HostCalls[C]>): ReturnType<HostCalls[C]> {
    const id = ++this.#lastId;
    const answered = new Promise((resolve, reject) => {
      const onExit = () => reject(new Error(`the host ended before it answered ${call}`));
      this.#host.once('exit', onExit);
      this.#host.on('message', (answer: Answer) => {
        if (answer.id !== id) return;
        this.#host.off('exit', onExit);
        if (answer.error) reject(Object.assign(new Error(answer.error.message), { code: answer.error.code }));
        else resolve(answer.result);
      });
      this.#host.send({ id, call, args });
    });
    return answered as ReturnType<HostCalls[C]>;
  }

  async #end(): Promise<void> {
    if (findMount(this.mountpoint)) await this.unmount({ lazy: true });
    if (this.#host.exitCode !== null) return;
    const exit = once(this.#host, 'exit');
    this.#host.disconnect();
    const timer = setTimeout(() => this.#host.kill('SIGKILL'), EXIT_MS);
    const [code, signal] = await exit;
    clearTimeout(timer);
    if (code !== 0) throw new Error(`the host ended with ${signal ?? code}`);
  }
}
