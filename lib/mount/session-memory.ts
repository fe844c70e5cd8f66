/**
 * What a session keeps beside the store's bytes: attributes, open handles and what they know, counters. In the memory of one process, or in
 * a file in memory that the next server of the same mount finds as the last one left it.
 */
import { Counters } from '../fuse/counters.js';
import { OpenHandles } from '../fuse/open-handles.js';
import { ATTRIBUTE_BYTES, type TreeMemory } from '../fuse/plain-file.js';
import { SyncErrors } from '../fuse/sync-errors.js';
import { createMemoryFile, type MemoryHandle, mapMemoryFile } from '../native/shared-memory.js';
import { MAX_WORKERS } from './mount-session.js';

/** A cache line, so that no two parts share one. */
const ALIGNMENT_BYTES = 64;

export interface SessionMemory extends TreeMemory {
  counterMemory: MemoryHandle;
}

const PARTS: readonly { name: keyof SessionMemory; sizeBytes: number }[] = [
  { name: 'attributeMemory', sizeBytes: ATTRIBUTE_BYTES },
  { name: 'handleMemory', sizeBytes: OpenHandles.memoryBytes },
  { name: 'syncErrorMemory', sizeBytes: SyncErrors.memoryBytes },
  { name: 'counterMemory', sizeBytes: Counters.memoryBytes(MAX_WORKERS) },
];

const aligned = (sizeBytes: number) => Math.ceil(sizeBytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
const TOTAL_BYTES = PARTS.reduce((total, { sizeBytes }) => total + aligned(sizeBytes), 0);

function collect(allocate: (sizeBytes: number) => MemoryHandle): SessionMemory {
  const entries = PARTS.map(({ name, sizeBytes }) => [name, allocate(sizeBytes)]);
  return Object.fromEntries(entries) as SessionMemory;
}

/** Zeroed memory of this process. */
export function allocateSessionMemory(): SessionMemory {
  return collect((sizeBytes) => new SharedArrayBuffer(sizeBytes));
}

/** The descriptor of zeroed memory for `mapSessionMemory`. */
export function createSessionFile(): number {
  return createMemoryFile(TOTAL_BYTES);
}

/** The memory behind the descriptor. */
export function mapSessionMemory(fd: number): SessionMemory {
  const start = mapMemoryFile(fd, TOTAL_BYTES);
  let offset = 0;
  return collect((sizeBytes) => {
    const address = start + BigInt(offset);
    offset += aligned(sizeBytes);
    return { address, sizeBytes };
  });
}
