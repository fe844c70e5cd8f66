/**
 * LUKS2 JSON objects ⇄ the logical model (LUKS2 spec, section 3). LUKS1 headers pass through here as well,
 * as the JSON that would say the same. Decodes only documents that passed the shape checks.
 */
import { safeNumber } from '../bytes.js';
import type { Kdf } from '../crypto/kdf.js';
import {
  isObject,
  isText,
  isTextArray,
  isUint64,
  type JsonObject,
  member,
  numberedMembers,
  objectMember,
} from './json.js';
import type {
  AntiForensic,
  Digest,
  HeaderConfig,
  Keyslot,
  KeyslotArea,
  Metadata,
  Priority,
  Segment,
  Token,
} from './model.js';

function text(object: JsonObject, key: string): string {
  const value = member(object, key);
  return isText(value) ? value : '';
}

function count(object: JsonObject, key: string): number {
  return Number(member(object, key) ?? 0);
}

function bytes(object: JsonObject, key: string): Buffer {
  return Buffer.from(text(object, key), 'base64');
}

/** 0 where there is none, or something else: the checks let that pass only in objects of a type that nobody uses. */
function uint64(object: JsonObject, key: string): bigint {
  const value = member(object, key);
  return isUint64(value) ? BigInt(value) : 0n;
}

/** A uint64 string as bytes of a size or an offset. */
function size(object: JsonObject, key: string, what: string): number {
  return safeNumber(uint64(object, key), what);
}

function texts(object: JsonObject, key: string): string[] {
  const value = member(object, key);
  return isTextArray(value) ? value : [];
}

function decodeKdf(kdf: JsonObject): Kdf | null {
  const type = text(kdf, 'type');
  const salt = bytes(kdf, 'salt');
  if (type === 'pbkdf2') return { type, hash: text(kdf, 'hash'), iterations: count(kdf, 'iterations'), salt };
  if (type !== 'argon2i' && type !== 'argon2id') return null;
  return { type, time: count(kdf, 'time'), memoryKiB: count(kdf, 'memory'), cpus: count(kdf, 'cpus'), salt };
}

function decodeArea(area: JsonObject, what: string): KeyslotArea {
  const hasCipher = member(area, 'encryption') !== undefined;
  return {
    type: text(area, 'type'),
    offsetBytes: size(area, 'offset', `area offset of ${what}`),
    sizeBytes: size(area, 'size', `area size of ${what}`),
    encryption: hasCipher ? text(area, 'encryption') : null,
    keySizeBytes: hasCipher ? count(area, 'key_size') : null,
  };
}

function decodeAf(af: JsonObject): AntiForensic {
  return { stripes: count(af, 'stripes'), hash: text(af, 'hash') };
}

function decodeKeyslot(id: number, keyslot: JsonObject): Keyslot {
  const type = text(keyslot, 'type');
  const isPassphrase = type === 'luks2';
  const area = member(keyslot, 'area');
  const af = member(keyslot, 'af');
  return {
    type,
    keySizeBytes: count(keyslot, 'key_size'),
    priority: Number(member(keyslot, 'priority') ?? 1) as Priority,
    area: isObject(area) ? decodeArea(area, `keyslot ${id}`) : null,
    af: isPassphrase && isObject(af) ? decodeAf(af) : null,
    kdf: isPassphrase ? decodeKdf(objectMember(keyslot, 'kdf')) : null,
  };
}

function decodeDigest(digest: JsonObject): Digest {
  return {
    type: text(digest, 'type'),
    keyslots: texts(digest, 'keyslots').map(Number),
    segments: texts(digest, 'segments').map(Number),
    hash: text(digest, 'hash'),
    iterations: count(digest, 'iterations'),
    salt: bytes(digest, 'salt'),
    digest: bytes(digest, 'digest'),
  };
}

function decodeSegment(id: number, segment: JsonObject): Segment {
  const integrity = member(segment, 'integrity');
  const encryption = member(segment, 'encryption');
  return {
    id,
    type: text(segment, 'type'),
    offsetBytes: size(segment, 'offset', `offset of segment ${id}`),
    sizeBytes:
      text(segment, 'size') === 'dynamic' ? 'dynamic' : size(segment, 'size', `size of segment ${id}`),
    ivTweak: uint64(segment, 'iv_tweak'),
    encryption: isText(encryption) ? encryption : null,
    sectorSizeBytes: Number(member(segment, 'sector_size') ?? 512),
    flags: texts(segment, 'flags'),
    integrity: isObject(integrity) ? text(integrity, 'type') : null,
  };
}

function decodeToken(token: JsonObject): Token {
  return { type: text(token, 'type'), keyslots: texts(token, 'keyslots').map(Number), document: token };
}

function decodeConfig(config: JsonObject): HeaderConfig {
  return {
    jsonSizeBytes: size(config, 'json_size', 'size of the JSON area'),
    keyslotsSizeBytes: size(config, 'keyslots_size', 'size of the keyslots area'),
    flags: texts(config, 'flags'),
    requirements: texts(objectMember(config, 'requirements'), 'mandatory'),
  };
}

/** The model of a document whose shape was checked. Throws UNSUPPORTED for sizes past 2^53 bytes. */
export function decodeMetadata(document: JsonObject): Metadata {
  const keyslots = numberedMembers(document, 'keyslots');
  const digests = numberedMembers(document, 'digests');
  const segments = numberedMembers(document, 'segments');
  const tokens = numberedMembers(document, 'tokens');
  return {
    keyslots: new Map(keyslots.map(([id, keyslot]) => [id, decodeKeyslot(id, keyslot)])),
    digests: new Map(digests.map(([id, digest]) => [id, decodeDigest(digest)])),
    segments: segments.map(([id, segment]) => decodeSegment(id, segment)),
    tokens: new Map(tokens.map(([id, token]) => [id, decodeToken(token)])),
    config: decodeConfig(objectMember(document, 'config')),
  };
}

/** A KDF as its JSON object, members in the order cryptsetup writes them. */
export function encodeKdf(kdf: Kdf): JsonObject {
  const salt = kdf.salt.toString('base64');
  return kdf.type === 'pbkdf2'
    ? { type: kdf.type, hash: kdf.hash, iterations: kdf.iterations, salt }
    : { type: kdf.type, time: kdf.time, memory: kdf.memoryKiB, cpus: kdf.cpus, salt };
}

/** A passphrase keyslot as its JSON object. */
export function encodeKeyslot(keyslot: {
  keySizeBytes: number;
  priority: Priority;
  af: AntiForensic;
  area: KeyslotArea & { encryption: string; keySizeBytes: number };
  kdf: Kdf;
}): JsonObject {
  const { area, af } = keyslot;
  return {
    type: 'luks2',
    key_size: keyslot.keySizeBytes,
    ...(keyslot.priority === 1 ? {} : { priority: keyslot.priority }),
    af: { type: 'luks1', stripes: af.stripes, hash: af.hash },
    area: {
      type: 'raw',
      offset: String(area.offsetBytes),
      size: String(area.sizeBytes),
      encryption: area.encryption,
      key_size: area.keySizeBytes,
    },
    kdf: encodeKdf(keyslot.kdf),
  };
}

/** A digest as its JSON object. */
export function encodeDigest(digest: Digest): JsonObject {
  return {
    type: digest.type,
    keyslots: digest.keyslots.map(String),
    segments: digest.segments.map(String),
    hash: digest.hash,
    iterations: digest.iterations,
    salt: digest.salt.toString('base64'),
    digest: digest.digest.toString('base64'),
  };
}

/** A crypt segment as its JSON object. */
export function encodeSegment(
  segment: Omit<Segment, 'id' | 'integrity'> & { encryption: string },
): JsonObject {
  return {
    type: segment.type,
    offset: String(segment.offsetBytes),
    size: segment.sizeBytes === 'dynamic' ? 'dynamic' : String(segment.sizeBytes),
    iv_tweak: String(segment.ivTweak),
    encryption: segment.encryption,
    sector_size: segment.sectorSizeBytes,
    ...(segment.flags.length ? { flags: segment.flags } : {}),
  };
}
