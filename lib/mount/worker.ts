/**
 * One thread of a mount: waits for a request in read(2), serves it and what else is queued, answers with write(2). No
 * queue of its own, no event loop. Loads nothing that this loop does not need: every import counts once per worker.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Burst } from '../fuse/burst.js';
import { type CacheMode, CachePolicy } from '../fuse/cache-policy.js';
import { Channel } from '../fuse/channel.js';
import { Counters } from '../fuse/counters.js';
import { MAX_WRITE_BYTES } from '../fuse/init-operation.js';
import { type BlockStore, PlainFile, type TreeDescription } from '../fuse/plain-file.js';
import { Server } from '../fuse/server.js';
import { hasUnlockedKeys } from '../native/memory.js';
import type { MemoryHandle } from '../native/shared-memory.js';
import { PoolGauge } from './pool-gauge.js';

/** What the module at `WorkerTask.storeModule` exports. */
export interface StoreModule {
  /** This thread's view of the store that the main thread opened. */
  openStore(handle: unknown): BlockStore & { close(): void };
  /** Memory that the store's `read` and `write` work in without a copy. */
  allocateIoBuffer(sizeBytes: number): Uint8Array;
}

/** workerData */
export interface WorkerTask {
  workerIndex: number;
  /** It leaves once it has not been needed for a while. */
  isExtra: boolean;
  gaugeMemory: SharedArrayBuffer;
  fuseFd: number;
  /** Of the same connection, for the prompt channel; null where there is none. */
  promptFd: number | null;
  /** The URL of a StoreModule. */
  storeModule: string;
  storeHandle: unknown;
  tree: TreeDescription;
  cacheMode: CacheMode;
  counterMemory: MemoryHandle;
}

/** An extra worker that was not needed for so long leaves after its next request; nothing could wake it before. */
const MAX_SLACK_MS = 5000;

function serveUntilUnmounted(task: WorkerTask, gauge: PoolGauge, burst: Burst): void {
  gauge.enter(task.workerIndex);
  if (hasUnlockedKeys()) parentPort?.postMessage('unlocked');
  parentPort?.postMessage('ready');
  gauge.waitForGate();
  for (;;) {
    gauge.beginWait();
    const requestBytes = burst.receive();
    if (requestBytes === null) return;
    if (gauge.endWait()) parentPort?.postMessage('saturated');
    burst.serve(requestBytes);
    if (gauge.isShut) return;
    if (task.isExtra && gauge.slackMs > MAX_SLACK_MS) return;
  }
}

async function run(task: WorkerTask): Promise<void> {
  const module = (await import(task.storeModule)) as StoreModule;
  const store = module.openStore(task.storeHandle);
  try {
    const { fuseFd, promptFd } = task;
    const channels = {
      waiting: new Channel(fuseFd),
      prompt: promptFd === null ? null : Channel.withoutWaiting(promptFd),
    };
    const memory = module.allocateIoBuffer(Burst.memoryBytes(MAX_WRITE_BYTES));
    const served = {
      tree: new PlainFile(store, task.tree),
      policy: new CachePolicy(task.cacheMode),
      counters: new Counters(task.counterMemory, task.workerIndex),
    };
    const gauge = new PoolGauge(task.gaugeMemory);
    const burst = new Burst(
      channels,
      memory,
      (frame) => new Server({ frame, ...served }),
      () => gauge.isSaturated,
    );
    serveUntilUnmounted(task, gauge, burst);
  } finally {
    store.close();
  }
}

await run(workerData as WorkerTask);
