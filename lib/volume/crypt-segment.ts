/**
 * One encrypted segment of a payload: any byte range of its plaintext, read and written through whole sectors.
 * LUKS2 on-disk format, "Segments"; a LUKS1 payload is one segment with 512-byte sectors.
 * Knows nothing of headers; offsets are relative to the segment. Its caller keeps them inside it, and has the whole
 * sectors around them locked.
 */
import { alignDown, partOf, wipe } from '../bytes.js';
import { allocateIoBuffer, releaseIoBuffer } from '../crypto/kernel.js';
import { createSectorCipher, IV_SECTOR_BYTES, type SectorCipher } from '../crypto/sector-cipher.js';
import type { Device } from '../device.js';
import { splitAtSectors } from './extents.js';
import type { SegmentLayout } from './layout.js';
import type { VolumeSegment } from './volume-segment.js';

export class CryptSegment implements VolumeSegment {
  readonly layout: SegmentLayout;
  readonly #device: Device;
  readonly #cipher: SectorCipher;
  readonly #sector: Buffer;
  /** The ciphertext of a sector before part of it is written. */
  readonly #before: Buffer;

  constructor(device: Device, layout: SegmentLayout, encryption: string, volumeKey: Uint8Array) {
    this.layout = layout;
    this.#device = device;
    // Whether the null cipher may be used is layoutVolume's to say, and was said.
    const options = { allowNullCipher: true, allowXtsGb: true };
    this.#cipher = createSectorCipher(encryption, volumeKey, layout.sectorSizeBytes, options);
    this.#sector = allocateIoBuffer(layout.sectorSizeBytes);
    this.#before = Buffer.alloc(layout.sectorSizeBytes);
  }

  get engine(): string {
    return this.#cipher.engine;
  }

  /** Fills `target` with plaintext from `offsetBytes`. */
  read(target: Uint8Array, offsetBytes: number): void {
    const { headBytes, wholeBytes, tailBytes } = this.#split(offsetBytes, target.length);
    if (headBytes > 0) this.#readPart(target.subarray(0, headBytes), offsetBytes);
    if (wholeBytes > 0) {
      this.#readSectors(partOf(target, headBytes, wholeBytes), offsetBytes + headBytes);
    }
    if (tailBytes > 0) {
      this.#readPart(target.subarray(headBytes + wholeBytes), offsetBytes + headBytes + wholeBytes);
    }
  }

  /** Writes `source` at `offsetBytes`; `source` is encrypted where it lies, so its plaintext is gone after. */
  writeInPlace(source: Uint8Array, offsetBytes: number): void {
    const { headBytes, wholeBytes, tailBytes } = this.#split(offsetBytes, source.length);
    if (headBytes > 0) this.#writePart(source.subarray(0, headBytes), offsetBytes);
    if (wholeBytes > 0) {
      this.#writeSectors(partOf(source, headBytes, wholeBytes), offsetBytes + headBytes);
    }
    if (tailBytes > 0) {
      this.#writePart(source.subarray(headBytes + wholeBytes), offsetBytes + headBytes + wholeBytes);
    }
  }

  /**
   * Gives the whole sectors of the range back to the payload's storage, and makes what it covers of a sector zeros:
   * the rest of such a sector stays. What the whole ones read as afterwards is whatever the storage decrypts to.
   */
  discard(offsetBytes: number, lengthBytes: number): void {
    const { headBytes, wholeBytes, tailBytes } = this.#split(offsetBytes, lengthBytes);
    const wholeStart = offsetBytes + headBytes;
    if (wholeBytes > 0) this.#device.discard(this.layout.deviceOffsetBytes + wholeStart, wholeBytes);
    if (headBytes > 0) this.#writePart(new Uint8Array(headBytes), offsetBytes);
    if (tailBytes > 0) this.#writePart(new Uint8Array(tailBytes), wholeStart + wholeBytes);
  }

  destroy(): void {
    this.#cipher.destroy();
    wipe(this.#sector);
    releaseIoBuffer(this.#sector);
  }

  #split(offsetBytes: number, lengthBytes: number) {
    return splitAtSectors(offsetBytes, lengthBytes, this.layout.sectorSizeBytes);
  }

  #ivSector(offsetBytes: number): bigint {
    return this.layout.ivTweak + BigInt(offsetBytes / IV_SECTOR_BYTES);
  }

  #readSectors(target: Uint8Array, offsetBytes: number): void {
    this.#device.readFullyAt(target, this.layout.deviceOffsetBytes + offsetBytes);
    this.#cipher.decryptInPlace(target, this.#ivSector(offsetBytes));
  }

  #writeSectors(source: Uint8Array, offsetBytes: number): void {
    this.#cipher.encryptInPlace(source, this.#ivSector(offsetBytes));
    this.#device.writeAt(source, this.layout.deviceOffsetBytes + offsetBytes);
  }

  #readPart(target: Uint8Array, offsetBytes: number): void {
    const sectorStart = alignDown(offsetBytes, this.layout.sectorSizeBytes);
    const intoSector = offsetBytes - sectorStart;
    this.#readSectors(this.#sector, sectorStart);
    target.set(this.#sector.subarray(intoSector, intoSector + target.length));
  }

  #writePart(source: Uint8Array, offsetBytes: number): void {
    const sectorStart = alignDown(offsetBytes, this.layout.sectorSizeBytes);
    this.#device.readFullyAt(this.#before, this.layout.deviceOffsetBytes + sectorStart);
    this.#sector.set(this.#before);
    this.#cipher.decryptInPlace(this.#sector, this.#ivSector(sectorStart));
    this.#sector.set(source, offsetBytes - sectorStart);
    try {
      this.#writeSectors(this.#sector, sectorStart);
    } catch (error) {
      this.#putBack(sectorStart);
      throw error;
    }
  }

  /** A sector that was cut in the writing decrypts to noise, also where nobody meant to write. */
  #putBack(sectorStart: number): void {
    try {
      this.#device.writeAt(this.#before, this.layout.deviceOffsetBytes + sectorStart);
    } catch {
      // The payload fails altogether; the caller is told of the first error.
    }
  }
}
