/**
 * Open-file-description locks on single bytes: fcntl(2), "Open file description locks". They belong to the open
 * descriptor, cross to a child that inherits it, and end when its last copy is closed.
 */
import { constants } from 'node:os';
import { isSystemError, systemError } from '../errors.js';
import { checkResult } from './call.js';
import { findFunction } from './library.js';
import { INHERITED_FD, runPerl } from './perl.js';

const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
/** struct flock of 64-bit Linux: l_type 0 (i16), l_whence 2 (i16), l_start 8 (i64), l_len 16 (i64), l_pid 24 (i32). */
const STRUCT_FLOCK_BYTES = 32;

type Fcntl = (fd: number, command: number, lock: Uint8Array) => number;
const cFcntl = findFunction<Fcntl>('int fcntl(int fd, int command, void *lock)');

/** Throws EAGAIN where the claim is contested. */
function claimByC(fcntl: Fcntl, fd: number, held: readonly number[], opposed: readonly number[]): void {
  const lock = (command: number, type: number, offsetBytes: number, lengthBytes: number): number => {
    const flock = Buffer.alloc(STRUCT_FLOCK_BYTES);
    flock.writeInt16LE(type, 0);
    flock.writeBigInt64LE(BigInt(offsetBytes), 8);
    flock.writeBigInt64LE(BigInt(lengthBytes), 16);
    checkResult(fcntl(fd, command, flock), 'fcntl');
    return flock.readInt16LE(0);
  };
  // First all locks, then all looks: of two that come at once, one at least sees the other.
  for (const byte of held) lock(F_OFD_SETLK, F_RDLCK, byte, 1);
  if (opposed.every((byte) => lock(F_OFD_GETLK, F_WRLCK, byte, 1) === F_UNLCK)) return;
  // What the descriptor held before stays: a reader that cannot become a writer is still a reader.
  for (const byte of held) lock(F_OFD_SETLK, F_UNLCK, byte, 1);
  throw systemError('EAGAIN', 'fcntl');
}

/** `claimByC`, with the two lists as arguments. struct flock64 has no gap before l_start on 32-bit x86 alone. */
const PERL_CLAIM = `
use Config;
my $layout = ($Config{archname} =~ /^i\\d86/ ? "ss" : "ssx4") . "lx4lx4lx4";
open my $file, "<&=${INHERITED_FD}" or exit $!;
sub lock_bytes {
  my $flock = pack $layout, $_[1], 0, $_[2], $_[3], 0;
  fcntl $file, $_[0], $flock or exit $!;
  return unpack "s", $flock;
}
lock_bytes(${F_OFD_SETLK}, ${F_RDLCK}, $_, 1) for split /,/, $ARGV[0];
exit 0 unless grep { lock_bytes(${F_OFD_GETLK}, ${F_WRLCK}, $_, 1) != ${F_UNLCK} } split /,/, $ARGV[1];
lock_bytes(${F_OFD_SETLK}, ${F_UNLCK}, $_, 1) for split /,/, $ARGV[0];
exit ${constants.errno.EAGAIN};
`;

/** What says that a file system cannot lock. */
const NO_LOCKS = ['EINVAL', 'ENOLCK', 'ENOSYS', 'EOPNOTSUPP', 'ENOTSUP'];

/**
 * Takes shared locks on the bytes `held`, which any number may have, and sees whether another open file description has a
 * lock on one of `opposed`: false then, and those on `held` are released. Null where the file system cannot lock.
 */
export function claimBytes(fd: number, held: readonly number[], opposed: readonly number[]): boolean | null {
  try {
    if (cFcntl) claimByC(cFcntl, fd, held, opposed);
    else runPerl('fcntl', fd, PERL_CLAIM, [held.join(), opposed.join()]);
    return true;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (error.code === 'EAGAIN') return false;
    if (NO_LOCKS.includes(error.code)) return null;
    throw error;
  }
}
