/**
 * The LUKS2 binary header (LUKS2 on-disk format specification, section 2.1) and its checksum: 4096 bytes
 * before each JSON area. Bytes in, objects out: knows no device and nothing of the JSON.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { decodeCString, encodeCString } from '../bytes.js';
import { findHash } from '../crypto/hash.js';
import { LUKS_MAGIC } from './luks1.js';

export const BINARY_HEADER_BYTES = 4096;
const SECONDARY_MAGIC = Buffer.from('SKUL\xba\xbe', 'latin1');
/** Size of the fields of label and subsystem, their NUL included. */
export const NAME_BYTES = 48;
const SALT_BYTES = 64;
const CHECKSUM_BYTES = 64;

/** Every hdr_size there is, and so every place where a secondary header can be. */
export const HDR_SIZES_BYTES = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096].map((kib) => kib * 1024);

/** Offsets of the fields, in bytes. */
const AT = {
  version: 6,
  hdrSize: 8,
  seqid: 16,
  label: 24,
  checksumAlgorithm: 72,
  salt: 104,
  uuid: 168,
  subsystem: 208,
  hdrOffset: 256,
  checksum: 448,
} as const;

export type CopyName = 'primary' | 'secondary';

export interface BinaryHeader {
  hdrSizeBytes: number;
  seqid: bigint;
  label: string;
  checksumAlgorithm: string;
  salt: Buffer;
  uuid: string;
  subsystem: string;
}

export function magicOf(copy: CopyName): Buffer {
  return copy === 'primary' ? LUKS_MAGIC : SECONDARY_MAGIC;
}

export const MAGIC_BYTES = LUKS_MAGIC.length;

export function hasMagic(bytes: Buffer, copy: CopyName): boolean {
  return bytes.subarray(0, LUKS_MAGIC.length).equals(magicOf(copy));
}

export function formatVersion(bytes: Buffer): number {
  return bytes.readUInt16BE(AT.version);
}

/** Names that people choose may be UTF-8 and may fill their field; control characters are not let through. */
function decodeName(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? field.length : end).replace(/\p{Cc}/gu, '�');
}

/**
 * The fields of a binary header found at `offsetBytes`, or what is wrong with it. The checksum is not among
 * what is tested: it covers the JSON area too.
 */
export function decodeBinaryHeader(
  bytes: Buffer,
  copy: CopyName,
  offsetBytes: number,
): BinaryHeader | string {
  if (!hasMagic(bytes, copy)) return 'no magic';
  const version = formatVersion(bytes);
  if (version !== 2) return `version ${version}`;
  const hdrSize = bytes.readBigUInt64BE(AT.hdrSize);
  const hdrSizeBytes = Number(hdrSize);
  if (!HDR_SIZES_BYTES.includes(hdrSizeBytes)) return `impossible header size ${hdrSize}`;
  const hdrOffset = bytes.readBigUInt64BE(AT.hdrOffset);
  if (hdrOffset !== BigInt(offsetBytes)) return `it claims to lie at offset ${hdrOffset}`;
  if (copy === 'secondary' && hdrSizeBytes !== offsetBytes) return `header size ${hdrSizeBytes} does not fit`;
  const checksumAlgorithm = decodeCString(bytes.subarray(AT.checksumAlgorithm, AT.salt));
  const uuid = decodeCString(bytes.subarray(AT.uuid, AT.subsystem));
  if (checksumAlgorithm === null) return 'its checksum algorithm is not a NUL-terminated name';
  if (uuid === null) return 'its UUID is not a NUL-terminated text';
  return {
    hdrSizeBytes,
    seqid: bytes.readBigUInt64BE(AT.seqid),
    label: decodeName(bytes.subarray(AT.label, AT.checksumAlgorithm)),
    checksumAlgorithm,
    salt: Buffer.from(bytes.subarray(AT.salt, AT.salt + SALT_BYTES)),
    uuid,
    subsystem: decodeName(bytes.subarray(AT.subsystem, AT.hdrOffset)),
  };
}

/** The digest over binary header, checksum field zeroed, and JSON area. */
function checksum(copyBytes: Buffer, openSslHash: string): Buffer {
  return createHash(openSslHash)
    .update(copyBytes.subarray(0, AT.checksum))
    .update(Buffer.alloc(CHECKSUM_BYTES))
    .update(copyBytes.subarray(AT.checksum + CHECKSUM_BYTES))
    .digest();
}

/** What is wrong with the checksum of a whole copy, or null. */
export function checkChecksum(copyBytes: Buffer, algorithm: string): string | null {
  const hash = findHash(algorithm);
  if (hash === null) return `its checksum algorithm "${algorithm}" is not known`;
  const expected = checksum(copyBytes, hash);
  const stored = copyBytes.subarray(AT.checksum, AT.checksum + expected.length);
  return timingSafeEqual(expected, stored) ? null : 'its checksum does not match';
}

/** Binary header and JSON area of one copy, with its checksum, ready to be written at `offsetBytes`. */
export function encodeCopy(
  header: BinaryHeader,
  jsonText: string,
  copy: CopyName,
  openSslHash: string,
): Buffer {
  const bytes = Buffer.alloc(header.hdrSizeBytes);
  magicOf(copy).copy(bytes);
  bytes.writeUInt16BE(2, AT.version);
  bytes.writeBigUInt64BE(BigInt(header.hdrSizeBytes), AT.hdrSize);
  bytes.writeBigUInt64BE(header.seqid, AT.seqid);
  bytes.set(encodeCString(header.label, NAME_BYTES), AT.label);
  bytes.set(encodeCString(header.checksumAlgorithm, 32), AT.checksumAlgorithm);
  bytes.set(header.salt, AT.salt);
  bytes.set(encodeCString(header.uuid, 40), AT.uuid);
  bytes.set(encodeCString(header.subsystem, NAME_BYTES), AT.subsystem);
  bytes.writeBigUInt64BE(copy === 'primary' ? 0n : BigInt(header.hdrSizeBytes), AT.hdrOffset);
  bytes.write(jsonText, BINARY_HEADER_BYTES, 'utf8');
  checksum(bytes, openSslHash).copy(bytes, AT.checksum);
  return bytes;
}
