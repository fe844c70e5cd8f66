/**
 * The data of a reencryption: any whole-sector range of the payload hashed, converted from its old form to its new one,
 * or recovered where that was cut short. Knows keys and bytes, no headers; offsets count from the first byte of data.
 */
import { wipe } from '../bytes.js';
import { BlockHash } from '../crypto/block-hash.js';
import { allocateIoBuffer, releaseIoBuffer } from '../crypto/kernel.js';
import { createSectorCipher, IV_SECTOR_BYTES, type SectorCipher } from '../crypto/sector-cipher.js';
import type { Device, ReadableDevice } from '../device.js';
import { isSystemError } from '../errors.js';
import { appendPiece, type Extent, type Piece } from './reencrypt-parts.js';

/** The payload's form before or after; null where it is plaintext. */
export interface ZoneSide {
  encryption: string;
  sectorSizeBytes: number;
}

export interface ZoneShape {
  /** Where the data begins on the payload's device. */
  dataOffsetBytes: number;
  previous: ZoneSide | null;
  final: ZoneSide | null;
  /** Of the checksums; empty where there are none. */
  hash: string;
  blockSizeBytes: number;
}

const PIECE_BYTES = 1024 * 1024;
/** What storage does not write in part. */
const ATOM_BYTES = 512;

export class Zone {
  readonly #device: Device;
  readonly #shape: ZoneShape;
  readonly #previous: SectorCipher | null;
  readonly #final: SectorCipher | null;
  readonly #hash: BlockHash | null;
  readonly #buffer: Buffer;

  /** The keys are read here and not kept; null for a side that is plaintext. */
  constructor(
    device: Device,
    shape: ZoneShape,
    keys: { previous: Uint8Array | null; final: Uint8Array | null },
  ) {
    const open = (side: ZoneSide | null, key: Uint8Array | null) =>
      side && createSectorCipher(side.encryption, key!, side.sectorSizeBytes, { allowNullCipher: true });
    this.#device = device;
    this.#shape = shape;
    this.#hash = shape.hash === '' ? null : new BlockHash(shape.hash);
    this.#previous = open(shape.previous, keys.previous);
    this.#final = open(shape.final, keys.final);
    this.#buffer = allocateIoBuffer(PIECE_BYTES);
  }

  /** How much the checksums of so much data take. */
  checksumBytes(sizeBytes: number): number {
    return (sizeBytes / this.#shape.blockSizeBytes) * this.#hash!.sizeBytes;
  }

  /** Puts the checksums of the range's blocks, one behind the other, into `checksums`. */
  hashRange(range: Extent, checksums: Uint8Array): void {
    const { blockSizeBytes, dataOffsetBytes } = this.#shape;
    const hash = this.#hash!;
    this.#eachPiece(range, (piece, offsetBytes) => {
      this.#device.readFullyAt(piece, offsetBytes + dataOffsetBytes);
      const at = this.checksumBytes(offsetBytes - range.offsetBytes);
      hash.hashBlocks(piece, blockSizeBytes, checksums.subarray(at));
    });
  }

  /** Rewrites the range in its new form. */
  convertRange(range: Extent): void {
    this.#eachPiece(range, (piece, offsetBytes) => {
      this.#device.readFullyAt(piece, offsetBytes + this.#shape.dataOffsetBytes);
      this.#convertInPlace(piece, offsetBytes);
      this.#device.writeAt(piece, offsetBytes + this.#shape.dataOffsetBytes);
    });
  }

  /** Writes the range in its new form from the copy of its old one on `journal`. */
  restoreRange(range: Extent, journal: ReadableDevice, journalOffsetBytes: number): void {
    this.#eachPiece(range, (piece, offsetBytes) => {
      journal.readFullyAt(piece, journalOffsetBytes + offsetBytes - range.offsetBytes);
      this.#convertInPlace(piece, offsetBytes);
      this.#device.writeAt(piece, offsetBytes + this.#shape.dataOffsetBytes);
    });
  }

  /**
   * Converts those blocks of the range that are still, or in part, in their old form, which `checksums` tell. A block that
   * is neither, or cannot be read, is lost and stays as it is.
   * @param isReader writes nothing: what would have to be converted is old, or lost to a reader if it is so in part
   */
  recoverRange(range: Extent, checksums: Uint8Array, isReader: boolean): Piece[] {
    const { blockSizeBytes, dataOffsetBytes } = this.#shape;
    const hash = this.#hash!;
    const pieces: Piece[] = [];
    const checksum = Buffer.alloc(hash.sizeBytes);
    const isOld = (block: Uint8Array, offsetBytes: number) => {
      const at = this.checksumBytes(offsetBytes - range.offsetBytes);
      hash.hashBlocks(block, blockSizeBytes, checksum);
      return checksum.equals(checksums.subarray(at, at + hash.sizeBytes));
    };
    const recover = (block: Uint8Array, offsetBytes: number): Piece['state'] => {
      const isOldHere = (candidate: Uint8Array) => isOld(candidate, offsetBytes);
      if (!isOldHere(block)) {
        const reverted = Buffer.from(block);
        this.#revertInPlace(reverted, offsetBytes);
        if (isOldHere(reverted)) return 'new';
        if (isReader || !this.#unmixInPlace(block, reverted, isOldHere)) return 'lost';
      }
      if (isReader) return 'old';
      this.#convertInPlace(block, offsetBytes);
      this.#device.writeAt(block, offsetBytes + dataOffsetBytes);
      return 'new';
    };
    this.#eachPiece(range, (piece, pieceOffsetBytes) => {
      const unreadable = this.#readBlocks(piece, pieceOffsetBytes + dataOffsetBytes);
      for (let start = 0; start < piece.length; start += blockSizeBytes) {
        const offsetBytes = pieceOffsetBytes + start;
        const block = piece.subarray(start, start + blockSizeBytes);
        const state = unreadable.has(start) ? 'lost' : recover(block, offsetBytes);
        appendPiece(pieces, { state, offsetBytes, sizeBytes: blockSizeBytes });
      }
    });
    return pieces;
  }

  destroy(): void {
    this.#previous?.destroy();
    this.#final?.destroy();
    this.#hash?.destroy();
    wipe(this.#buffer);
    releaseIoBuffer(this.#buffer);
  }

  /** Fills `piece`, and tells the starts of those blocks of it that the storage does not give. */
  #readBlocks(piece: Uint8Array, deviceOffsetBytes: number): Set<number> {
    const unreadable = new Set<number>();
    if (this.#canRead(piece, deviceOffsetBytes)) return unreadable;
    const { blockSizeBytes } = this.#shape;
    for (let start = 0; start < piece.length; start += blockSizeBytes) {
      const block = piece.subarray(start, start + blockSizeBytes);
      if (!this.#canRead(block, deviceOffsetBytes + start)) unreadable.add(start);
    }
    return unreadable;
  }

  #canRead(target: Uint8Array, deviceOffsetBytes: number): boolean {
    try {
      this.#device.readFullyAt(target, deviceOffsetBytes);
      return true;
    } catch (error) {
      if (isSystemError(error) && error.code === 'EIO') return false;
      throw error;
    }
  }

  /**
   * An interruption can leave both forms in a block, each in whole atoms; since the old form's checksum is known, the right
   * mixture can be told. Makes `block` its old form, or leaves it as it is and returns false.
   */
  #unmixInPlace(block: Uint8Array, reverted: Uint8Array, isOld: (candidate: Uint8Array) => boolean): boolean {
    const atoms = block.length / ATOM_BYTES;
    const mixture = allocateIoBuffer(block.length);
    try {
      for (let pattern = 1; pattern < 2 ** atoms - 1; pattern += 1) {
        for (let atom = 0; atom < atoms; atom += 1) {
          const source = pattern & (1 << atom) ? reverted : block;
          mixture.set(source.subarray(atom * ATOM_BYTES, (atom + 1) * ATOM_BYTES), atom * ATOM_BYTES);
        }
        if (!isOld(mixture)) continue;
        block.set(mixture);
        return true;
      }
      return false;
    } finally {
      wipe(mixture);
      releaseIoBuffer(mixture);
    }
  }

  #convertInPlace(data: Uint8Array, offsetBytes: number): void {
    const ivSector = BigInt(offsetBytes / IV_SECTOR_BYTES);
    this.#previous?.decryptInPlace(data, ivSector);
    this.#final?.encryptInPlace(data, ivSector);
  }

  #revertInPlace(data: Uint8Array, offsetBytes: number): void {
    const ivSector = BigInt(offsetBytes / IV_SECTOR_BYTES);
    this.#final?.decryptInPlace(data, ivSector);
    this.#previous?.encryptInPlace(data, ivSector);
  }

  #eachPiece(range: Extent, use: (piece: Uint8Array, offsetBytes: number) => void): void {
    for (let done = 0; done < range.sizeBytes; done += PIECE_BYTES) {
      use(this.#buffer.subarray(0, Math.min(PIECE_BYTES, range.sizeBytes - done)), range.offsetBytes + done);
    }
  }
}
