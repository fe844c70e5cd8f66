/**
 * What a known-answer vector of a sector cipher is.
 */

export interface SectorVector {
  /** The document and the place in it. */
  source: string;
  spec: string;
  key: Buffer;
  /** In 512-byte units. */
  ivSector: bigint;
  /** The first bytes of a sector, whole blocks. */
  plaintext: Buffer;
  ciphertext: Buffer;
}

export function fromHex(text: string): Buffer {
  return Buffer.from(text.replaceAll(/\s/g, ''), 'hex');
}
