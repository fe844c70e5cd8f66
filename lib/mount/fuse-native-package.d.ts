/**
 * The parts of the optional package fuse-native 2.2.6 that are used here; it brings no types.
 */
declare module 'fuse-native' {
  type Done = (error: number) => void;

  export interface Stat {
    mode: number;
    uid: number;
    gid: number;
    size: number;
    nlink: number;
    ino: number;
    blksize: number;
    blocks: number;
    /** Milliseconds since 1970. */
    atime: number;
    mtime: number;
    ctime: number;
  }

  export interface Statfs {
    bsize: number;
    frsize: number;
    blocks: number;
    files: number;
    namemax: number;
  }

  /** `error` is 0 or a negative errno; `read` and `write` answer with a count in its place. */
  export interface Operations {
    getattr(path: string, done: (error: number, stat?: Stat) => void): void;
    readdir(path: string, done: (error: number, names?: string[]) => void): void;
    statfs(path: string, done: (error: number, statfs?: Statfs) => void): void;
    chmod(path: string, mode: number, done: Done): void;
    chown(path: string, uid: number, gid: number, done: Done): void;
    /** Milliseconds; the package gives `atime` for both. */
    utimens(path: string, atime: number, mtime: number, done: Done): void;
    truncate(path: string, size: number, done: Done): void;
    ftruncate(path: string, fd: number, size: number, done: Done): void;
    read(
      path: string,
      fd: number,
      buffer: Buffer,
      length: number,
      offset: number,
      done: (count: number) => void,
    ): void;
    write(
      path: string,
      fd: number,
      buffer: Buffer,
      length: number,
      offset: number,
      done: (count: number) => void,
    ): void;
    fsync(path: string, isData: number, fd: number, done: Done): void;
    create(path: string, mode: number, done: Done): void;
    mknod(path: string, mode: number, device: number, done: Done): void;
    mkdir(path: string, mode: number, done: Done): void;
    symlink(target: string, path: string, done: Done): void;
    link(from: string, to: string, done: Done): void;
    rename(from: string, to: string, done: Done): void;
    unlink(path: string, done: Done): void;
    rmdir(path: string, done: Done): void;
  }

  export default class Fuse {
    constructor(mountpoint: string, operations: Operations, options: { timeout: false });
    /** The option string for libfuse, `-o…`; of what this makes of its options, much that libfuse has is missing. */
    _fuseOptions(): string;
    mount(done: (error: Error | null) => void): void;
    /** Also lets go of the event loop. */
    unmount(done: (error: Error | null) => void): void;
    static unmount(mountpoint: string, done: (error: Error | null) => void): void;
  }
}
