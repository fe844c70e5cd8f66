/**
 * Headers that do not exist yet: the model of one without keyslots, from its parameters. Pure; the rules that
 * reading enforces are enforced on what is made here too.
 */
import { alignUp, encodeCString, formatBytes } from '../bytes.js';
import { LUKS_STRIPES } from '../crypto/af.js';
import { LuksError } from '../errors.js';
import { AREA_ALIGN_BYTES, areaSizeBytes } from './areas.js';
import type { JsonObject } from './json.js';
import { areaPlaces, LUKS1_HEADER_BYTES, LUKS1_KEYSLOTS } from './luks1.js';
import { BINARY_HEADER_BYTES, HDR_SIZES_BYTES, NAME_BYTES } from './luks2-binary.js';
import { validateDocument } from './luks2-validate.js';
import { decodeMetadata, encodeDigest, encodeSegment } from './metadata.js';
import type { Digest, Luks2Disk, LuksHeader } from './model.js';

const MiB = 1024 * 1024;
/** What cryptsetup reserves for a LUKS2 header unless told otherwise, attached or detached. */
const LUKS2_HEADER_BYTES = 16 * MiB;
/** Payloads behind an attached header begin at a multiple of this. */
const PAYLOAD_ALIGN_BYTES = MiB;

export interface NewHeaderParameters {
  uuid: string;
  label: string;
  subsystem: string;
  encryption: string;
  keySizeBytes: number;
  sectorSizeBytes: number;
  /** Null for the usual one: 0 detached, behind the header attached. */
  offsetBytes: number | null;
  isDetached: boolean;
  digest: Omit<Digest, 'keyslots' | 'segments' | 'type'>;
  /** Sizes of a LUKS2 header, null for the usual ones. */
  hdrSizeBytes: number | null;
  keyslotsSizeBytes: number | null;
}

/** The document of a header with one segment and no keyslot. */
function emptyDocument(parameters: NewHeaderParameters, offsetBytes: number, config: JsonObject): JsonObject {
  const { encryption, sectorSizeBytes, digest } = parameters;
  const segment = { type: 'crypt', offsetBytes, sizeBytes: 'dynamic', ivTweak: 0n, flags: [] } as const;
  return {
    keyslots: {},
    tokens: {},
    segments: { 0: encodeSegment({ ...segment, flags: [], encryption, sectorSizeBytes }) },
    digests: { 0: encodeDigest({ type: 'pbkdf2', keyslots: [], segments: [0], ...digest }) },
    config,
  };
}

/**
 * Where the payload begins: at 0 of a device of its own, or behind the header, whose size counts also where it is
 * detached (cryptsetup refuses to open any other). Throws BAD_ARGUMENT.
 */
function requireOffset(parameters: NewHeaderParameters, headerSizeBytes: number): number {
  const { isDetached, offsetBytes } = parameters;
  if (offsetBytes === null) return isDetached ? 0 : alignUp(headerSizeBytes, PAYLOAD_ALIGN_BYTES);
  if (offsetBytes >= headerSizeBytes || (isDetached && offsetBytes === 0)) return offsetBytes;
  throw new LuksError(
    'BAD_ARGUMENT',
    `the payload cannot begin at ${formatBytes(offsetBytes)}: the header takes ${formatBytes(headerSizeBytes)}, ` +
      'and other programs expect the payload behind that, detached too; give a larger --offset, or none',
  );
}

/** A LUKS1 header. Its cipher's key is the volume key, and its hash the digest's, for everything. */
export function newLuks1(parameters: NewHeaderParameters): LuksHeader {
  const { encryption, keySizeBytes, sectorSizeBytes, uuid, label, subsystem, digest } = parameters;
  if (sectorSizeBytes !== 512 || label !== '' || subsystem !== '') {
    throw new LuksError('BAD_ARGUMENT', 'LUKS1 has 512-byte sectors, no label and no subsystem; use LUKS2');
  }
  const step = areaSizeBytes(keySizeBytes, LUKS_STRIPES);
  const offsets = Array.from({ length: LUKS1_KEYSLOTS }, (_, index) => AREA_ALIGN_BYTES + index * step);
  const headerSizeBytes = AREA_ALIGN_BYTES + LUKS1_KEYSLOTS * step;
  const [cipherName, ...mode] = encryption.split('-') as [string, ...string[]];
  const document = emptyDocument(parameters, requireOffset(parameters, headerSizeBytes), {
    json_size: '0',
    keyslots_size: String(headerSizeBytes - LUKS1_HEADER_BYTES),
  });
  const disk = {
    version: 1 as const,
    areas: areaPlaces(offsets, keySizeBytes),
    keySizeBytes,
    cipherName,
    cipherMode: mode.join('-'),
    hashSpec: digest.hash,
  };
  const names = { uuid, label, subsystem };
  return { version: 1, ...names, headerSizeBytes, document, disk, ...decodeMetadata(document) };
}

/** The disk part of a LUKS2 header that nobody has written yet; both copies are to be written. */
export function newLuks2Disk(hdrSizeBytes: number): Luks2Disk {
  return {
    version: 2,
    hdrSizeBytes,
    seqid: 0n,
    checksumAlgorithm: 'sha256',
    salt: Buffer.alloc(0),
    copyRead: 'primary',
    primary: { offsetBytes: 0, state: 'valid', reason: null },
    secondary: { offsetBytes: hdrSizeBytes, state: 'valid', reason: null },
  };
}

function luks2KeyslotsSizeBytes(parameters: NewHeaderParameters, hdrSizeBytes: number): number {
  const { keyslotsSizeBytes, offsetBytes } = parameters;
  if (keyslotsSizeBytes !== null) return keyslotsSizeBytes;
  const room = Math.min(offsetBytes || LUKS2_HEADER_BYTES, LUKS2_HEADER_BYTES);
  const sizeBytes = room - 2 * hdrSizeBytes;
  return Math.max(
    sizeBytes - (sizeBytes % AREA_ALIGN_BYTES),
    areaSizeBytes(parameters.keySizeBytes, LUKS_STRIPES),
  );
}

/** A LUKS2 header. */
export function newLuks2(parameters: NewHeaderParameters): LuksHeader {
  const { uuid, label, subsystem } = parameters;
  const hdrSizeBytes = parameters.hdrSizeBytes ?? HDR_SIZES_BYTES[0]!;
  if (!HDR_SIZES_BYTES.includes(hdrSizeBytes)) {
    throw new LuksError('BAD_ARGUMENT', 'the metadata size must be a power of two from 16 KiB to 4 MiB');
  }
  for (const name of [label, subsystem]) encodeCString(name, NAME_BYTES);
  const keyslotsSizeBytes = luks2KeyslotsSizeBytes(parameters, hdrSizeBytes);
  const headerSizeBytes = 2 * hdrSizeBytes + keyslotsSizeBytes;
  const document = emptyDocument(parameters, requireOffset(parameters, headerSizeBytes), {
    json_size: String(hdrSizeBytes - BINARY_HEADER_BYTES),
    keyslots_size: String(keyslotsSizeBytes),
  });
  const metadata = validateDocument(document, hdrSizeBytes);
  if (typeof metadata === 'string') {
    throw new LuksError('BAD_ARGUMENT', `no header can be made of these parameters: ${metadata}`);
  }
  const names = { uuid, label, subsystem };
  return { version: 2, ...names, headerSizeBytes, document, disk: newLuks2Disk(hdrSizeBytes), ...metadata };
}
