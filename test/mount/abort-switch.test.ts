import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { AbortSwitch } from '../../lib/fuse/connection.js';
import { FuseMount } from '../../lib/mount/fuse-mount.js';
import { withDefaults } from '../../lib/mount/mount-session.js';
import { findMount } from '../../lib/mount/mount-table.js';
import { setWaiting } from '../../lib/native/file.js';
import { skipUnless } from '../kit/requirements.js';
import { makeTempDir } from '../kit/temp.js';

const CONNECTIONS = '/sys/fs/fuse/connections';

function showConnections(t: Test): void {
  if (fs.readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${CONNECTIONS} `)) return;
  execFileSync('mount', ['-t', 'fusectl', 'none', CONNECTIONS]);
  t.teardown(() => execFileSync('umount', ['--lazy', CONNECTIONS]));
}

/** A mount that nobody serves. */
class BareMount {
  readonly connection: number;
  readonly #mount: FuseMount;
  readonly #switch: AbortSwitch;

  private constructor(mount: FuseMount) {
    this.#mount = mount;
    this.connection = findMount(mount.mountpoint.path)!.connection;
    this.#switch = new AbortSwitch(this.connection);
    setWaiting(mount.fuseFd, false);
  }

  static async make(dir: string, name: string): Promise<BareMount> {
    const mountpoint = path.join(dir, name);
    fs.mkdirSync(mountpoint);
    const options = { ...withDefaults({ mountpoint }), source: name, isReadOnly: false };
    return new BareMount(await FuseMount.make(options));
  }

  abort(): void {
    this.#switch.press();
  }

  /** What a read of the next request says: EAGAIN while all is well. */
  get state(): string | undefined {
    try {
      fs.readSync(this.#mount.fuseFd, Buffer.alloc(2 ** 21));
      return 'a request';
    } catch (error) {
      return (error as NodeJS.ErrnoException).code;
    }
  }

  unmount(): Promise<void> {
    return this.#mount.unmount();
  }

  close(): void {
    this.#switch.close();
    this.#mount.close();
  }
}

/** A mount that is gone, and one that has got its number, which another test's may be quicker to. */
async function mountInTurns(dir: string): Promise<{ gone: BareMount; next: BareMount }> {
  for (let turn = 0; turn < 20; turn++) {
    const gone = await BareMount.make(dir, `gone-${turn}`);
    await gone.unmount();
    const next = await BareMount.make(dir, `next-${turn}`);
    if (next.connection === gone.connection) return { gone, next };
    await next.unmount();
    gone.close();
    next.close();
  }
  throw new Error('no mount got the number of the one before');
}

t.test(
  'a mount that is gone aborts no other that has its number now',
  {
    skip: skipUnless({ root: true, fuse: true }),
  },
  async (t) => {
    showConnections(t);
    const { gone, next } = await mountInTurns(makeTempDir(t));
    gone.abort();
    t.equal(gone.state, 'ENODEV');
    t.equal(next.state, 'EAGAIN');
    next.abort();
    t.equal(next.state, 'ECONNABORTED');
    await next.unmount();
    gone.close();
    next.close();
  },
);
