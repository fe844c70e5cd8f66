/**
 * What a LUKS header says, in one shape for both versions: nothing above this room asks which of the two a
 * volume is. Types and lookups only; the words are those of the LUKS2 specification, section 3.
 */
import type { Kdf } from '../crypto/kdf.js';
import type { JsonObject } from './json.js';

/** 2 is tried first, then 1; 0 only when the keyslot is named. */
export type Priority = 0 | 1 | 2;

export interface KeyslotArea {
  /** `raw` for key material; a reencryption keyslot has others. */
  type: string;
  offsetBytes: number;
  sizeBytes: number;
  /** Cipher of the area, null where the type has none. */
  encryption: string | null;
  /** Size of the key of that cipher, null where the type has none. */
  keySizeBytes: number | null;
}

export interface AntiForensic {
  stripes: number;
  hash: string;
}

export interface Keyslot {
  /** `luks2` is the passphrase keyslot, of LUKS1 too; others are kept and not used. */
  type: string;
  /** Size of the volume key it holds. */
  keySizeBytes: number;
  priority: Priority;
  area: KeyslotArea | null;
  af: AntiForensic | null;
  /** Null for a foreign keyslot type or a KDF that is not known here. */
  kdf: Kdf | null;
}

/** A keyslot that a passphrase opens. */
export interface PassphraseKeyslot extends Keyslot {
  area: KeyslotArea & { encryption: string; keySizeBytes: number };
  af: AntiForensic;
  kdf: Kdf;
}

/** Ties keys to keyslots and segments: PBKDF2 of the volume key. */
export interface Digest {
  /** `pbkdf2`; others are kept and verify nothing. */
  type: string;
  keyslots: number[];
  segments: number[];
  hash: string;
  iterations: number;
  salt: Buffer;
  digest: Buffer;
}

export interface Segment {
  id: number;
  /** `crypt`, `linear`, or a type that is kept and not used. */
  type: string;
  /** On the payload's device. */
  offsetBytes: number;
  sizeBytes: number | 'dynamic';
  /** Added to the IV number of each sector, in 512-byte units. */
  ivTweak: bigint;
  /** Null for a segment that is not encrypted. */
  encryption: string | null;
  sectorSizeBytes: number;
  flags: string[];
  /** Type of the integrity protection (dm-integrity), null where there is none. */
  integrity: string | null;
}

/** The token that keyslot/pairing.ts writes. */
export const PAIRING_TOKEN_TYPE = 'luksfuse-pairing';

export interface Token {
  type: string;
  keyslots: number[];
  /** All of it, as it stands in the header. */
  document: JsonObject;
}

export interface HeaderConfig {
  jsonSizeBytes: number;
  keyslotsSizeBytes: number;
  flags: string[];
  /** The mandatory requirements: names of features that a reader must know to touch the volume. */
  requirements: string[];
}

/** What the metadata says, whatever binary form it came in. */
export interface Metadata {
  keyslots: ReadonlyMap<number, Keyslot>;
  digests: ReadonlyMap<number, Digest>;
  /** By id, which is their order on the volume; `backup-…` flagged ones do not belong to it. */
  segments: readonly Segment[];
  tokens: ReadonlyMap<number, Token>;
  config: HeaderConfig;
}

/** Where key material may lie or lies. */
export interface AreaPlace {
  offsetBytes: number;
  sizeBytes: number;
}

export interface Luks1Disk {
  version: 1;
  /** The fixed places of keyslots 0–7, used or not. */
  areas: AreaPlace[];
  keySizeBytes: number;
  /** As the header spells them. */
  cipherName: string;
  cipherMode: string;
  hashSpec: string;
}

/** The state of one of the two LUKS2 copies. */
export interface Luks2CopyState {
  offsetBytes: number;
  /** `obsolete`: valid, with a lower seqid than the other one. */
  state: 'valid' | 'obsolete' | 'corrupt' | 'absent';
  /** Why it is not valid, else null. */
  reason: string | null;
}

export interface Luks2Disk {
  version: 2;
  /** Binary header and JSON area together, one copy. */
  hdrSizeBytes: number;
  seqid: bigint;
  checksumAlgorithm: string;
  /** Salt of the copy that was read; each copy has its own. */
  salt: Buffer;
  /** Which copy the metadata was read from. */
  copyRead: 'primary' | 'secondary';
  primary: Luks2CopyState;
  secondary: Luks2CopyState;
}

export interface LuksHeader extends Metadata {
  version: 1 | 2;
  uuid: string;
  /** Empty where there is none. */
  label: string;
  subsystem: string;
  /** Everything before this offset of the header's device belongs to the header. */
  headerSizeBytes: number;
  /** The metadata as LUKS2 JSON, for both versions; a rewrite starts here, so nothing unknown is lost. */
  document: JsonObject;
  disk: Luks1Disk | Luks2Disk;
}

export function isPassphraseKeyslot(keyslot: Keyslot): keyslot is PassphraseKeyslot {
  return keyslot.kdf !== null && keyslot.af !== null && keyslot.area?.encryption != null;
}

/** The digest that a keyslot's key must match, or null. */
export function findDigestOf(header: Metadata, keyslot: number): { id: number; digest: Digest } | null {
  for (const [id, digest] of header.digests) {
    if (digest.keyslots.includes(keyslot)) return { id, digest };
  }
  return null;
}

/** The digest that the key of this segment must match, or null. */
export function findDigestOfSegment(header: Metadata, segment: Segment): number | null {
  for (const [id, digest] of header.digests) if (digest.segments.includes(segment.id)) return id;
  return null;
}

/** True for what a reencryption keeps of the layout before or after it. */
export function isBackupSegment(segment: Segment): boolean {
  return segment.flags.some((flag) => flag.startsWith('backup-'));
}

/** The segments that make up the volume, without the backups that a reencryption keeps. */
export function volumeSegments(header: Metadata): Segment[] {
  return header.segments.filter((segment) => !isBackupSegment(segment));
}

/** True for a keyslot whose key opens no segment. */
export function isUnbound(header: Metadata, keyslot: number): boolean {
  const bound = findDigestOf(header, keyslot);
  return bound === null || bound.digest.segments.length === 0;
}

/** The null cipher: no encryption at all, under names that the kernel knows it by. */
export function isNullCipher(encryption: string): boolean {
  return /^(cipher_null|null)(-|$)/.test(encryption) || /ecb\(cipher_null\)/.test(encryption);
}
