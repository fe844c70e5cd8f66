/**
 * Answers in bursts. An answer wakes the program that waits for it, and one that has many requests under way is better woken
 * once for several answers than for each: so a worker that finds more requests queued takes some of them, without waiting,
 * before it answers.
 *
 * What is held back must not wait long. So only answers to small READs and WRITEs that were served at once are held back, a
 * few at a time, and only while more requests than that are found queued again and again: where less is under way, whoever
 * waits for an answer would have made the next request meanwhile.
 */
import { FUSE_READ, FUSE_WRITE, fuse_in_header, fuse_read_in, fuse_write_in } from './abi.js';
import type { Channel } from './channel.js';
import type { Server } from './server.js';
import { Frame } from './wire.js';

/** So many requests at a time, at most. */
const MAX_REQUESTS = 8;
/** What a request of a burst may read or write. */
const MAX_DATA_BYTES = 8192;
/** From one frame to the next: what is before its data (wire.ts), and room for what may be held back in it. */
const FRAME_STEP_BYTES = 4096 + MAX_DATA_BYTES;
/** A burst takes no further request when it has lasted for so long. */
const MAX_BURST_MS = 0.2;
/** So many requests are answered one by one when the queue was found empty, or the payload slow. */
const MIN_PAUSE_REQUESTS = 16;
/** As many, where bursts have ended so again and again before they were worth it. */
const MAX_PAUSE_REQUESTS = 512;
/** From so many requests on, between one pause and the next, bursts were worth it. */
const WORTHWHILE_REQUESTS = 32;

/** Where the requests of a burst come from and their answers go to: to the one that the request came from. */
export interface BurstChannels {
  /** Waits for a request. */
  waiting: Pick<Channel, 'receive' | 'send'>;
  /** Another descriptor of the same connection, which does not wait; null where there is none, and no bursts. */
  prompt: PromptChannel | null;
}

type PromptChannel = Pick<Channel, 'receiveQueued' | 'send'>;

interface Slot {
  frame: Frame;
  server: Server;
  replyBytes: number;
}

function isSmall(frame: Frame, requestBytes: number): boolean {
  if (!frame.begin(requestBytes)) return false;
  if (frame.opcode === FUSE_WRITE)
    return requestBytes <= fuse_in_header.SIZE + fuse_write_in.SIZE + MAX_DATA_BYTES;
  return frame.opcode === FUSE_READ && frame.argumentU32(fuse_read_in.size) <= MAX_DATA_BYTES;
}

export class Burst {
  readonly #channels: BurstChannels;
  readonly #first: Slot;
  readonly #others: readonly Slot[];
  readonly #isWanted: () => boolean;
  readonly #nowMs: () => number;
  /** How many requests the next burst may have. */
  #limit = 1;
  #pauseLength = MIN_PAUSE_REQUESTS;
  /** Requests left of this pause. */
  #pause = MIN_PAUSE_REQUESTS;
  /** Requests that were served in bursts since the last pause. */
  #served = 0;

  /** The size of the memory for requests of up to `dataBytes`. */
  static memoryBytes(dataBytes: number): number {
    return Frame.memoryBytes(dataBytes) + (MAX_REQUESTS - 1) * FRAME_STEP_BYTES;
  }

  /**
   * @param memory of `Burst.memoryBytes(…)`, as that of a frame; all frames lie in it, overlapping
   * @param isWanted whether nobody else would take what is queued
   * @param nowMs a clock that only goes forward
   */
  constructor(
    channels: BurstChannels,
    memory: Uint8Array,
    serverOf: (frame: Frame) => Server,
    isWanted: () => boolean,
    nowMs = () => performance.now(),
  ) {
    const frameBytes = memory.length - (MAX_REQUESTS - 1) * FRAME_STEP_BYTES;
    // Has the pages there: who is killed while the kernel has to find one first fails the request (fuse_dev_do_read).
    memory.fill(0, 0, MAX_REQUESTS * FRAME_STEP_BYTES);
    const [first, ...others] = Array.from({ length: MAX_REQUESTS }, (_, index) => {
      const start = index * FRAME_STEP_BYTES;
      const frame = new Frame(memory.subarray(start, start + frameBytes));
      return { frame, server: serverOf(frame), replyBytes: 0 };
    });
    this.#channels = channels;
    this.#first = first!;
    this.#others = others;
    this.#isWanted = isWanted;
    this.#nowMs = nowMs;
  }

  /** Waits for a request, which is the next to serve. Returns its bytes; null once unmounted. */
  receive(): number | null {
    return this.#channels.waiting.receive(this.#first.frame);
  }

  /** Serves the request of `requestBytes` that was received, and it may be others, and answers. */
  serve(requestBytes: number): void {
    const { prompt, waiting } = this.#channels;
    if (this.#limit > 1 && prompt && this.#isWanted() && isSmall(this.#first.frame, requestBytes)) {
      this.#serveBurst(requestBytes, prompt);
      return;
    }
    this.#serveIn(this.#first, requestBytes);
    this.#answer(this.#first, waiting);
    if (this.#limit > 1) return;
    this.#pause -= 1;
    if (this.#pause <= 0) this.#limit = 2;
  }

  #serveBurst(requestBytes: number, prompt: PromptChannel): void {
    const endMs = this.#nowMs() + MAX_BURST_MS;
    this.#serveIn(this.#first, requestBytes);
    let held = 0;
    let isOver = false;
    while (this.#isWanted()) {
      if (held === this.#limit - 1) {
        this.#limit = Math.min(2 * this.#limit, MAX_REQUESTS);
        break;
      }
      const slot = this.#others[held]!;
      const bytes = this.#nowMs() > endMs ? 0 : prompt.receiveQueued(slot.frame);
      if (bytes === 0) {
        isOver = true;
        break;
      }
      if (!isSmall(slot.frame, bytes)) {
        this.#answerHeld(held, prompt);
        this.#serveIn(slot, bytes);
        this.#answer(slot, prompt);
        return;
      }
      this.#serveIn(slot, bytes);
      held += 1;
    }
    this.#answerHeld(held, prompt);
    if (isOver) this.#rest();
  }

  #rest(): void {
    const isWorthwhile = this.#served >= WORTHWHILE_REQUESTS;
    this.#pauseLength = isWorthwhile
      ? MIN_PAUSE_REQUESTS
      : Math.min(2 * this.#pauseLength, MAX_PAUSE_REQUESTS);
    this.#pause = this.#pauseLength;
    this.#limit = 1;
    this.#served = 0;
  }

  #serveIn(slot: Slot, requestBytes: number): void {
    slot.replyBytes = slot.server.serve(requestBytes);
  }

  #answer({ frame, replyBytes }: Slot, channel: Pick<Channel, 'send'>): void {
    if (replyBytes > 0) channel.send(frame, replyBytes);
  }

  #answerHeld(held: number, prompt: PromptChannel): void {
    this.#served += 1 + held;
    this.#answer(this.#first, this.#channels.waiting);
    for (let index = 0; index < held; index++) this.#answer(this.#others[index]!, prompt);
  }
}
