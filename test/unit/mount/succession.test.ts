/**
 * Which server serves, whatever happens in whatever order: the servers are made up, and so is the time.
 */
import t, { type Test } from 'tap';
import { type Heir, MAX_SHORT_LIVES, type Plan, Succession } from '../../../lib/mount/succession.js';
import type { OnlineOrder } from '../../../lib/volume/online.js';
import { Random } from '../../kit/random.js';

/** Lets everything happen that waits for nothing but its turn. */
async function allTurns(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
}

/** How much of a plan a test looks at. */
function planOf(name: string): Plan {
  return {
    entry: name,
    order: { online: null },
    keys: new Map(),
  } as unknown as Plan;
}

class FakeServer implements Heir {
  readonly pid: number;
  readonly plan: Plan;
  readonly exited: Promise<string>;
  end: { error: Error | undefined } | null = null;
  isAlive = true;
  isServing = false;
  isReleased = false;
  online: OnlineOrder | null = null;
  /** Neither answers nor drains by itself; it is killed for it. */
  isHung = false;
  readonly #world: World;
  #resolveExited!: (how: string) => void;

  constructor(world: World, pid: number, plan: Plan) {
    this.#world = world;
    this.pid = pid;
    this.plan = plan;
    this.online = plan.order.online;
    this.exited = new Promise((resolve) => {
      this.#resolveExited = resolve;
    });
  }

  serve(online: OnlineOrder | null): void {
    this.#world.checkServing(this);
    this.isServing = true;
    this.online = online;
  }

  follow(online: OnlineOrder): void {
    this.online = online;
  }

  async drain(): Promise<void> {}

  async serves(): Promise<boolean> {
    return this.isAlive && !this.isHung;
  }

  kill(): void {
    this.die('SIGKILL');
  }

  die(how: string): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    this.#resolveExited(how);
  }

  release(): void {
    this.isReleased = true;
  }
}

/** A succession and all that it is given, with what must hold at every moment. */
class World {
  readonly servers: FakeServer[] = [];
  /** Starts that are to be let go on, or to fail. */
  readonly starting: { plan: Plan; ready(): void; fail(): void }[] = [];
  readonly succession: Succession<FakeServer>;
  readonly faults: string[] = [];
  /** Of every change that must hold, as soon as it does. */
  mustHold: Plan | null = null;
  nowMs = 0;

  constructor(plan = planOf('first')) {
    this.succession = new Succession<FakeServer>(plan, {
      start: (wanted) => this.#start(wanted),
      resend: () => {},
      onServing: () => {},
      nowMs: () => this.nowMs,
      delay: async () => {},
    });
  }

  #start(plan: Plan): Promise<FakeServer> {
    return new Promise((resolve, reject) => {
      this.starting.push({
        plan,
        ready: () => {
          const server = new FakeServer(this, this.servers.length, plan);
          this.servers.push(server);
          resolve(server);
        },
        fail: () => reject(new Error('it does not start')),
      });
    });
  }

  checkServing(server: FakeServer): void {
    if (this.servers.some((other) => other !== server && other.isServing && other.isAlive))
      this.faults.push('two serve at once');
    const { keys, entry } = this.succession.plan;
    if (server.plan.keys !== keys) this.faults.push('it serves with other keys than the plan');
    if (server.plan.entry !== entry) this.faults.push('it serves by another program than the plan');
  }

  get serving(): FakeServer | undefined {
    return this.servers.find(({ isAlive, isServing }) => isAlive && isServing);
  }

  async readyAll(): Promise<void> {
    for (await allTurns(); this.starting.length > 0; await allTurns()) {
      this.starting.shift()!.ready();
    }
  }

  async begin(): Promise<this> {
    const begun = this.succession.begin();
    await this.readyAll();
    await begun;
    this.nowMs += 10_000;
    return this;
  }
}

/** A change that must hold: other keys, as for a reencryption. */
function reencrypt(world: World): Promise<void> {
  const { succession } = world;
  return succession.exclusively(() =>
    succession.handOver(
      {
        ...succession.plan,
        order: { ...succession.plan.order, online: { isPaused: false } },
        keys: new Map(),
      },
      true,
    ),
  );
}

function upgrade(world: World, name: string): Promise<void> {
  const { succession } = world;
  return succession.exclusively(() => succession.handOver({ ...succession.plan, entry: name }, false));
}

const checkAll = (t: Test, { faults }: World) => t.strictSame(faults, []);

t.test('one that died is replaced', async (t) => {
  const world = await new World().begin();
  world.serving!.die('SIGSEGV');
  await allTurns();
  t.equal(world.serving, undefined);
  await world.readyAll();
  t.match(world.serving, { pid: 1 });
  t.ok(world.servers[0]!.isReleased);
  checkAll(t, world);
});

t.test('an upgrade that was begun before a reencryption does not bring the old keys back', async (t) => {
  const world = await new World().begin();
  const upgraded = upgrade(world, 'new');
  const reencrypted = reencrypt(world);
  await world.readyAll();
  await Promise.all([upgraded, reencrypted]);
  t.equal(world.serving!.plan.keys, world.succession.plan.keys);
  t.match(world.serving!.plan, { entry: 'new', order: { online: { isPaused: false } } });
  checkAll(t, world);
});

t.test('a server that dies while its successor starts is replaced first, and that one then', async (t) => {
  const world = await new World().begin();
  const reencrypted = reencrypt(world);
  await allTurns();
  world.serving!.die('SIGSEGV');
  await allTurns();
  t.equal(world.starting.length, 2);
  const [successor, replacement] = world.starting.splice(0);
  successor!.ready();
  await allTurns();
  t.equal(world.serving, undefined, 'nobody is promoted past the replacement');
  replacement!.ready();
  await allTurns();
  await reencrypted;
  t.equal(world.serving!.plan.keys, world.succession.plan.keys);
  checkAll(t, world);
});

t.test('what is ordered while nobody serves is followed by whoever does next', async (t) => {
  const world = await new World().begin();
  const reencrypted = reencrypt(world);
  await world.readyAll();
  await reencrypted;
  world.serving!.die('SIGSEGV');
  await allTurns();
  world.succession.follow({ isPaused: true, bytesPerSecond: 7 });
  await world.readyAll();
  t.strictSame(world.serving!.online, { isPaused: true, bytesPerSecond: 7 });
  checkAll(t, world);
});

t.test('a successor that dies at once: a change that must hold holds, another does not', async (t) => {
  const world = await new World().begin();
  for (const [change, isKept] of [
    [() => reencrypt(world), true],
    [() => upgrade(world, 'bad'), false],
  ] as const) {
    const before = world.succession.plan;
    const failing = t.rejects(change(), { code: 'DEVICE_IO' });
    await allTurns();
    world.starting.shift()!.ready();
    world.servers.at(-1)!.isHung = true;
    await allTurns();
    await world.readyAll();
    await failing;
    await world.readyAll();
    t.equal(world.succession.plan.keys !== before.keys, isKept);
    t.equal(world.serving!.plan.entry, before.entry);
    world.nowMs += 10_000;
  }
  checkAll(t, world);
});

t.test('servers that die one after the other are given up', async (t) => {
  const world = await new World().begin();
  world.nowMs = 0;
  for (let life = 0; life < MAX_SHORT_LIVES + 1 && world.serving; life++) {
    world.serving.die('SIGSEGV');
    await world.readyAll();
  }
  t.strictSame(await world.succession.ended, { gaveUp: 'SIGSEGV' });
});

t.test('the end of the mount ends what was to follow', async (t) => {
  const world = await new World().begin();
  const failing = t.rejects(upgrade(world, 'late'), { message: /unmounted meanwhile/ });
  await allTurns();
  const { serving } = world;
  serving!.end = { error: undefined };
  serving!.die('status 0');
  t.strictSame(await world.succession.ended, { error: undefined });
  await world.readyAll();
  await failing;
  t.notOk(world.servers.some(({ isAlive }) => isAlive));
});

t.test('in whatever order it happens', async (t) => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = new Random(seed);
    const world = await new World().begin();
    const changes: Promise<unknown>[] = [];
    let isEnded = false;
    void world.succession.ended.then(() => {
      isEnded = true;
    });
    const acts = [
      () => changes.push(reencrypt(world).catch(() => {})),
      () => changes.push(upgrade(world, `v${seed}`).catch(() => {})),
      () => world.serving?.die('SIGSEGV'),
      () => world.servers.at(-1)?.die('SIGSEGV'),
      () => world.succession.plan.order.online && world.succession.follow({ isPaused: true }),
      () => world.starting.shift()?.ready(),
      () => world.starting.pop()?.ready(),
      () => world.starting.shift()?.fail(),
    ];
    for (let step = 0; step < 30 && !isEnded; step++) {
      acts[random.below(acts.length)]!();
      world.nowMs += random.below(2000);
      for (let turn = random.below(12); turn > 0; turn--) await Promise.resolve();
    }
    world.nowMs += 10_000;
    await world.readyAll();
    await Promise.all(changes);
    await world.readyAll();
    if (!isEnded && !world.serving) world.faults.push('nobody serves');
    if (world.serving && world.serving.plan.keys !== world.succession.plan.keys)
      world.faults.push('other keys');
    if (world.faults.length > 0) t.fail(`seed ${seed}: ${world.faults.join(', ')}`);
  }
  t.pass('300 of them');
});
