/**
 * A pair of connected sockets, and receiving a descriptor that another process sends through one of them
 * (unix(7), SCM_RIGHTS), neither of which node can do.
 */
import { LuksError } from '../errors.js';
import { checkResult } from './call.js';
import { findFunction, koffi } from './library.js';

/** Linux: bits/socket.h, asm-generic/socket.h. */
const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 1 | 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x4000_0000;

const cSocketpair = findFunction<
  (domain: number, type: number, protocol: number, sockets: Int32Array) => number
>('int socketpair(int domain, int type, int protocol, void *sockets)');
const cRecvmsg = findFunction<(fd: number, message: Uint8Array, flags: number) => number>(
  'intptr_t recvmsg(int fd, void *message, int flags)',
);

const WORD_BYTES = 8;
/** struct cmsghdr: a word, two ints, and then the descriptor. */
const CMSG_DATA = WORD_BYTES + 8;
const CMSG_BYTES = Math.ceil((CMSG_DATA + 4) / WORD_BYTES) * WORD_BYTES;
/** Where the parts lie in the one buffer that is handed to the kernel. */
const IOVEC_OFFSET = 128;
const DATA_OFFSET = 256;
const CONTROL_OFFSET = 384;
const MESSAGE_BYTES = 512;

/** True where the functions below can be called. */
export function canPassDescriptors(): boolean {
  return cSocketpair !== null && cRecvmsg !== null;
}

/** Two connected stream sockets, closed in programs that are started unless they are handed to them. */
export function createSocketPair(): [number, number] {
  if (!cSocketpair) throw new LuksError('UNSUPPORTED', 'socketpair(2) cannot be called here');
  const sockets = new Int32Array(2);
  checkResult(cSocketpair(AF_UNIX, SOCK_STREAM_CLOEXEC, 0, sockets), 'socketpair');
  return [sockets[0]!, sockets[1]!];
}

/** Pointers and sizes at `offset`. */
function setWords(memory: Buffer, offset: number, words: readonly number[]): void {
  new BigUint64Array(memory.buffer, memory.byteOffset + offset, words.length).set(words.map(BigInt));
}

/**
 * The descriptor that was sent to `socket`, now one of this process; null where none has been. Does not wait.
 */
export function receiveDescriptor(socket: number): number | null {
  if (!koffi || !cRecvmsg) throw new LuksError('UNSUPPORTED', 'recvmsg(2) cannot be called here');
  // Too large for V8's own heap: the addresses hold until the call is over.
  const memory = Buffer.from(new ArrayBuffer(MESSAGE_BYTES));
  const base = Number(koffi.address(memory));
  // struct iovec: base, length; struct msghdr: name, namelen, iov, iovlen, control, controllen, flags.
  setWords(memory, IOVEC_OFFSET, [base + DATA_OFFSET, 1]);
  setWords(memory, 0, [0, 0, base + IOVEC_OFFSET, 1, base + CONTROL_OFFSET, CMSG_BYTES, 0]);
  const count = checkResult(cRecvmsg(socket, memory, MSG_DONTWAIT | MSG_CMSG_CLOEXEC), 'recvmsg');
  const [level, type, fd] = new Int32Array(memory.buffer, CONTROL_OFFSET + WORD_BYTES, 3);
  return count > 0 && level === SOL_SOCKET && type === SCM_RIGHTS ? fd! : null;
}
