/**
 * One thread of a mount: waits for a request in read(2), serves it, answers with write(2). No queue, no event
 * loop. Loads nothing that this loop does not need: every import counts once per worker.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { type CacheMode, CachePolicy } from '../fuse/cache-policy.js';
import { Channel } from '../fuse/channel.js';
import { Counters } from '../fuse/counters.js';
import { MAX_WRITE_BYTES } from '../fuse/init-operation.js';
import { type BlockStore, PlainFile, type TreeDescription } from '../fuse/plain-file.js';
import { Server } from '../fuse/server.js';
import { Frame } from '../fuse/wire.js';
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
  /** The URL of a StoreModule. */
  storeModule: string;
  storeHandle: unknown;
  tree: TreeDescription;
  cacheMode: CacheMode;
  counterMemory: MemoryHandle;
}

/** An extra worker that was not needed for so long leaves after its next request; nothing could wake it before. */
const MAX_SLACK_MS = 5000;

function serveUntilUnmounted(task: WorkerTask, server: Server, frame: Frame): void {
  const channel = new Channel(task.fuseFd);
  const gauge = new PoolGauge(task.gaugeMemory);
  gauge.enter(task.workerIndex);
  parentPort?.postMessage('ready');
  gauge.waitForGate();
  for (;;) {
    gauge.beginWait();
    const requestBytes = channel.receive(frame);
    if (requestBytes === null) return;
    if (gauge.endWait()) parentPort?.postMessage('saturated');
    const replyBytes = server.serve(requestBytes);
    if (replyBytes > 0) channel.send(frame, replyBytes);
    if (gauge.isShut) return;
    if (task.isExtra && gauge.slackMs > MAX_SLACK_MS) return;
  }
}

async function run(task: WorkerTask): Promise<void> {
  const module = (await import(task.storeModule)) as StoreModule;
  const store = module.openStore(task.storeHandle);
  const frame = new Frame(module.allocateIoBuffer(Frame.memoryBytes(MAX_WRITE_BYTES)));
  const server = new Server({
    frame,
    tree: new PlainFile(store, task.tree),
    policy: new CachePolicy(task.cacheMode),
    counters: new Counters(task.counterMemory, task.workerIndex),
  });
  try {
    serveUntilUnmounted(task, server, frame);
  } finally {
    store.close();
  }
}

await run(workerData as WorkerTask);
