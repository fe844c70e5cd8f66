/**
 * The first request of a connection, and its answer. Whoever reads from the descriptor later takes over what was settled
 * here: no second FUSE_INIT comes.
 */
import { LuksError } from '../errors.js';
import { PAGE_BYTES } from '../native/page-size.js';
import { FUSE_INIT, fuse_init_out, INIT_FLAGS } from './abi.js';
import type { CachePolicy } from './cache-policy.js';
import { Channel } from './channel.js';
import { serveInit } from './init-operation.js';
import { Frame } from './wire.js';

/** FUSE_INIT fits in this with much to spare; the kernel wants FUSE_MIN_READ_BUFFER at least. */
const HANDSHAKE_DATA_BYTES = 64 * 1024;

export interface Handshake {
  /** Requests that a dead server left unanswered can be had again. */
  hasResend: boolean;
}

function isGranted(frame: Frame, name: string): boolean {
  const bit = INIT_FLAGS.find((flag) => flag.name === name)!.bit;
  const words = new Uint32Array(new Uint8Array(frame.data(fuse_init_out.SIZE)).buffer);
  const word = bit < 32 ? fuse_init_out.flags : fuse_init_out.flags2;
  return ((words[word / 4]! >>> (bit % 32)) & 1) === 1;
}

/** Reads FUSE_INIT, which mount(2) has queued, and answers it. */
export function shakeHands(fd: number, policy: CachePolicy): Handshake {
  const frame = new Frame(new Uint8Array(Frame.memoryBytes(HANDSHAKE_DATA_BYTES)));
  const channel = new Channel(fd);
  const requestBytes = channel.receive(frame);
  if (requestBytes === null) throw new LuksError('DEVICE_IO', 'the mount vanished before its first request');
  if (!frame.begin(requestBytes) || frame.opcode !== FUSE_INIT) {
    throw new LuksError('DEVICE_IO', 'the kernel began the connection with something else than FUSE_INIT');
  }
  const result = serveInit({ frame, policy }, PAGE_BYTES);
  channel.send(frame, result < 0 ? frame.finish(-result, 0) : frame.finish(0, result));
  if (result >= 0) return { hasResend: isGranted(frame, 'FUSE_HAS_RESEND') };
  throw new LuksError(
    'UNSUPPORTED',
    'the kernel speaks an older FUSE protocol than 7.31; it needs Linux 5.4',
  );
}
