/**
 * Loaded before the program, forbids it and its children memfd_create(2), as the seccomp profile of a container may.
 */
import { constants } from 'node:os';
import { findFunction, koffi } from '../../lib/native/library.js';

const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_TSYNC = 1;
const [SYS_SECCOMP, SYS_MEMFD_CREATE] = process.arch === 'arm64' ? [277, 279] : [317, 319];
/** struct sock_fprog: the count, and the address of the instructions. */
const INSTRUCTIONS_OFFSET = 64;
/** struct sock_filter: code (u16), jumps if true and if false (u8), operand (u32). */
const PROGRAM: readonly [code: number, jumpTrue: number, jumpFalse: number, operand: number][] = [
  [0x20, 0, 0, 0], // load the system call's number
  [0x15, 0, 1, SYS_MEMFD_CREATE],
  [0x06, 0, 0, 0x0005_0000 | constants.errno.EPERM],
  [0x06, 0, 0, 0x7fff_0000], // everything else is allowed
];

const prctl = findFunction<(option: number, ...args: number[]) => number>(
  'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
)!;
const seccomp = findFunction<(number: number, operation: number, flags: number, program: Buffer) => number>(
  'long syscall(long number, long operation, long flags, void *program)',
)!;

// Too large for V8's own heap: the address holds.
const memory = Buffer.from(new ArrayBuffer(512));
memory.writeUInt16LE(PROGRAM.length);
memory.writeBigUInt64LE(BigInt(koffi!.address(memory)) + BigInt(INSTRUCTIONS_OFFSET), 8);
PROGRAM.forEach(([code, jumpTrue, jumpFalse, operand], index) => {
  const at = INSTRUCTIONS_OFFSET + 8 * index;
  memory.writeUInt16LE(code, at);
  memory.writeUInt8(jumpTrue, at + 2);
  memory.writeUInt8(jumpFalse, at + 3);
  memory.writeUInt32LE(operand, at + 4);
});
prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
if (seccomp(SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, memory) !== 0) {
  throw new Error('no filter of system calls could be set');
}
