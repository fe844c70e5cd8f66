/**
 * The tree that is mounted: a directory with one file, or that file alone. What the file does at its end and
 * when it is read-only is decided here, as a block device decides it; the bytes are a BlockStore's.
 * Knows neither the protocol nor where the bytes come from.
 */
import { randomInt } from 'node:crypto';
import { systemError } from '../errors.js';
import type { MemoryHandle } from '../native/shared-memory.js';
import { FUSE_ROOT_ID } from './abi.js';
import { NodeAttributes } from './node-attributes.js';
import { OpenHandles } from './open-handles.js';
import { SyncErrors } from './sync-errors.js';

/** A row of bytes with a fixed size. Every call blocks; errors carry the errno that the caller is to see. */
export interface BlockStore {
  readonly sizeBytes: number;
  /** The smallest unit that is written without reading first. */
  readonly blockSizeBytes: number;
  readonly isReadOnly: boolean;
  /** Fills `buffer` from any offset; returns the bytes read, fewer than asked only at the end. */
  read(buffer: Uint8Array, offsetBytes: number): number;
  /** Writes all of `buffer` or throws. May leave `buffer` overwritten. */
  write(buffer: Uint8Array, offsetBytes: number): void;
  /** Returns when all that was written is on stable storage. */
  sync(): void;
  /** Makes sure that writing the range will not fail for want of space. */
  allocate(offsetBytes: number, lengthBytes: number): void;
  /** Makes the range read as zeros. */
  zeroRange(offsetBytes: number, lengthBytes: number): void;
  /** Gives the range's space back; what it reads as then is the store's. EOPNOTSUPP where that is not wanted. */
  discard(offsetBytes: number, lengthBytes: number): void;
}

/** What the tree keeps. */
export interface TreeMemory {
  /** The nodes' mode, owner and times. */
  attributeMemory: MemoryHandle;
  /** How many have the file open, and how. */
  handleMemory: MemoryHandle;
  /** Which errors of fsync they know. */
  syncErrorMemory: MemoryHandle;
}

/** Structured-cloneable: every thread makes its own PlainFile from it. */
export interface TreeDescription extends TreeMemory {
  /** The file's name in the root directory; null where the root is the file. */
  fileName: string | null;
  /** The one user besides root who may enter; null where whoever the kernel lets through may. */
  onlyUser: number | null;
}

export interface TreeOwner {
  /** Permission bits of the file; the directory gets search wherever they allow reading. */
  mode: number;
  uid: number;
  gid: number;
}

export interface TreeNode {
  readonly id: number;
  readonly isDirectory: boolean;
  readonly attributes: NodeAttributes;
}

const ROOT_INDEX = 0;
const FILE_INDEX = 1;

export const ATTRIBUTE_BYTES = NodeAttributes.memoryBytes(2);

function createTreeMemory(): TreeMemory {
  return {
    attributeMemory: new SharedArrayBuffer(ATTRIBUTE_BYTES),
    handleMemory: OpenHandles.createMemory(),
    syncErrorMemory: SyncErrors.createMemory(),
  };
}

/** A description with fresh attributes, all times now, in `memory`, which is zeroed. */
export function describeTree(
  fileName: string | null,
  owner: TreeOwner,
  onlyUser: number | null = null,
  memory: TreeMemory = createTreeMemory(),
): TreeDescription {
  // No two mounts begin with the same time of access: by it one's own is known (findOwnMount).
  const { seconds, nanoseconds } = NodeAttributes.now();
  const now = { seconds, nanoseconds: Math.floor(nanoseconds) + randomInt(1_000_000) };
  const searchBits = (owner.mode & 0o444) >> 2;
  for (const [index, mode] of [
    [ROOT_INDEX, (owner.mode & 0o777) | searchBits],
    [FILE_INDEX, owner.mode],
  ] as const) {
    const attributes = new NodeAttributes(memory.attributeMemory, index);
    attributes.mode = mode;
    attributes.uid = owner.uid;
    attributes.gid = owner.gid;
    attributes.atime = attributes.mtime = attributes.ctime = now;
  }
  return { fileName, ...memory, onlyUser };
}

/** The attributes of what is mounted, in `memory`. */
export function rootAttributes(fileName: string | null, memory: TreeMemory): NodeAttributes {
  return new NodeAttributes(memory.attributeMemory, fileName === null ? FILE_INDEX : ROOT_INDEX);
}

export class PlainFile {
  readonly store: BlockStore;
  readonly fileName: string | null;
  readonly root: TreeNode;
  readonly file: TreeNode;
  readonly handles: OpenHandles;
  readonly syncErrors: SyncErrors;
  readonly #onlyUser: number | null;

  constructor(store: BlockStore, description: TreeDescription) {
    this.store = store;
    this.fileName = description.fileName;
    this.handles = new OpenHandles(description.handleMemory);
    this.syncErrors = new SyncErrors(description.syncErrorMemory);
    this.#onlyUser = description.onlyUser;
    const root = rootAttributes(description.fileName, description);
    this.root = { id: FUSE_ROOT_ID, isDirectory: description.fileName !== null, attributes: root };
    this.file = this.root;
    if (description.fileName === null) return;
    const file = new NodeAttributes(description.attributeMemory, FILE_INDEX);
    this.file = { id: FUSE_ROOT_ID + 1, isDirectory: false, attributes: file };
  }

  /** Whether `uid` may use names and open files here; mode and owner are the kernel's business. */
  admits(uid: number): boolean {
    return this.#onlyUser === null || uid === 0 || uid === this.#onlyUser;
  }

  findNode(nodeId: number): TreeNode | null {
    if (nodeId === this.file.id) return this.file;
    return nodeId === this.root.id ? this.root : null;
  }

  /** The child of `parent` with this name; `.` and `..` are asked for by NFS and open_by_handle_at(2). */
  findChild(parent: TreeNode, name: string): TreeNode | null {
    if (name === '.') return parent;
    if (name === '..') return this.root;
    return parent.isDirectory && name === this.fileName ? this.file : null;
  }

  /** Reads into `data`; fewer bytes, or none, at the end. */
  read(data: Uint8Array, offsetBytes: number): number {
    if (offsetBytes >= this.store.sizeBytes) return 0;
    return this.store.read(data, offsetBytes);
  }

  /** How many of `lengthBytes` from `offsetBytes` lie inside the file. ENOSPC where none does. */
  writableBytes(offsetBytes: number, lengthBytes: number): number {
    this.requireWritable();
    const room = this.store.sizeBytes - offsetBytes;
    if (lengthBytes > 0 && room <= 0) throw systemError('ENOSPC', 'write');
    return Math.min(lengthBytes, room);
  }

  /** Writes `data`, which lies inside the file, and may be left overwritten. */
  write(data: Uint8Array, offsetBytes: number): void {
    this.store.write(data, offsetBytes);
    this.file.attributes.touch();
  }

  requireWritable(): void {
    if (this.store.isReadOnly) throw systemError('EROFS', 'write');
  }

  /** For fallocate(2): the range must lie wholly inside, since the file cannot grow. */
  requireInside(offsetBytes: number, lengthBytes: number): void {
    this.requireWritable();
    if (offsetBytes + lengthBytes > this.store.sizeBytes) throw systemError('ENOSPC', 'fallocate');
  }

  /** Where data (`SEEK_DATA`) or a hole (`SEEK_HOLE`) is next: ciphertext has no holes but its end. */
  seek(offsetBytes: number, forHole: boolean): number {
    if (offsetBytes >= this.store.sizeBytes) throw systemError('ENXIO', 'lseek');
    return forHole ? this.store.sizeBytes : offsetBytes;
  }
}
