/**
 * Connecting to a Unix socket under a name of one's own (unix(7)), which node:net cannot do.
 */
import fs from 'node:fs';
import { systemError } from '../errors.js';
import { checkResult, orUnsupported } from './call.js';
import { findFunction } from './library.js';
import { encodeName } from './raw-names.js';

const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 1 | 0o2000000;
/** asm-generic/socket.h */
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** sizeof(sun_path) */
const MAX_PATH_BYTES = 108;

const cSocket = findFunction<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const cBind = findFunction<(fd: number, address: Uint8Array, length: number) => number>(
  'int bind(int fd, const void *address, uint32_t length)',
);
const cConnect = findFunction<(fd: number, address: Uint8Array, length: number) => number>(
  'int connect(int fd, const void *address, uint32_t length)',
);

const cGetsockopt = findFunction<
  (fd: number, level: number, name: number, value: Int32Array, length: Int32Array) => number
>('int getsockopt(int fd, int level, int name, void *value, void *length)');

/** struct sockaddr_un: the family in the machine's byte order, then the name; all of it counts. */
function encodeAddress(name: Uint8Array): Buffer {
  const family = Buffer.from(new Uint16Array([AF_UNIX]).buffer);
  return Buffer.concat([family, name]);
}

/**
 * A descriptor connected to the stream socket at `path`, whose listener sees the peer name `abstractName` in
 * the abstract namespace. The caller closes it. Throws UNSUPPORTED, or as node:fs does.
 */
export function connectUnix(path: string, abstractName: string): number {
  const target = encodeName(`${path}\0`);
  if (target.length > MAX_PATH_BYTES) throw systemError('ENAMETOOLONG', 'connect');
  const fd = checkResult(orUnsupported(cSocket, 'socket')(AF_UNIX, SOCK_STREAM_CLOEXEC, 0), 'socket');
  try {
    const own = encodeAddress(Buffer.from(`\0${abstractName}`).subarray(0, MAX_PATH_BYTES));
    checkResult(orUnsupported(cBind, 'bind')(fd, own, own.length), 'bind');
    const address = encodeAddress(target);
    checkResult(orUnsupported(cConnect, 'connect')(fd, address, address.length), 'connect');
    return fd;
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

/** The process that is at the other end of a Unix socket (unix(7), SO_PEERCRED); null where that cannot be asked. */
export function peerPid(fd: number): number | null {
  if (!cGetsockopt) return null;
  const credentials = new Int32Array(3); // struct ucred: pid, uid, gid
  checkResult(
    cGetsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, new Int32Array([credentials.byteLength])),
    'getsockopt',
  );
  return credentials[0]!;
}
