/**
 * Begins a reencryption: records in a header what the payload is and what it is to become, without touching the payload.
 * One change of the header each; `reencrypt.ts` does the work.
 */
import { randomBytes } from 'node:crypto';
import { checkNewHash } from '../crypto/hash.js';
import { Secret } from '../crypto/secret.js';
import { createSectorCipher } from '../crypto/sector-cipher.js';
import type { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { requireLargestArea } from '../format/areas.js';
import { changeHeader, requireUnchanged, type WriteStep } from '../format/change.js';
import { editHeader, requireFreeDigest, requireFreeId, withKeyslot } from '../format/edit.js';
import { readHeader } from '../format/header.js';
import { isTextArray, type JsonObject, objectMember } from '../format/json.js';
import { encodeDigest } from '../format/metadata.js';
import { type LuksHeader, PAIRING_TOKEN_TYPE, type Segment } from '../format/model.js';
import {
  type Direction,
  type Reencryption,
  type ReencryptionMode,
  type Resilience,
  requireReencryption,
  withReencryption,
} from '../format/reencryption.js';
import { requireReadablePayload } from '../format/requirements.js';
import { planMetadata } from '../format/write.js';
import { DEFAULT_HASH, MIN_DIGEST_ITERATIONS, makeDigest } from '../keyslot/new-digest.js';
import { makeKeyslot, type NewKeyslotOptions } from '../keyslot/new-keyslot.js';
import { type ReencryptionKeys, withVerifiedReencryption } from '../keyslot/reencrypt-digest.js';
import { requireVolumeKey, type Unlock } from '../keyslot/unlock.js';
import { type FormatOptions, formatVolume, type VolumePaths } from './create.js';
import { unitBytesOf } from './reencrypt.js';
import { claimForWork, dataBytes } from './reencrypt-open.js';

export interface BeginOptions {
  /** `checksum` without. */
  resilience?: Resilience;
  /** Of the checksums; sha256 without. */
  resilienceHash?: string;
  /** Forward without, but for decryption. */
  direction?: Direction;
}

export interface ReencryptOptions extends BeginOptions {
  /** What is left out stays as it is. */
  encryption?: string;
  keySizeBytes?: number;
  sectorSizeBytes?: number;
  /** No new volume key: only the cipher's mode or the sectors change. */
  keepsKey?: boolean;
  /** Of the new volume key's keyslot. */
  pbkdf?: NewKeyslotOptions['pbkdf'];
}

const PAGE_BYTES = 4096;

interface Sides {
  previous: Segment;
  final: Segment;
  previousDigest: number | null;
  finalDigest: number | null;
}

/** `header` with a reencryption from the one side to the other begun. */
async function withBegun(
  header: LuksHeader,
  mode: ReencryptionMode,
  sides: Sides,
  payload: Device,
  keys: ReencryptionKeys,
  options: BeginOptions,
): Promise<LuksHeader> {
  const { resilience = 'checksum', resilienceHash = DEFAULT_HASH } = options;
  checkNewHash(resilienceHash);
  const reencryption: Reencryption = {
    ...sides,
    mode,
    direction: options.direction ?? (mode === 'decrypt' ? 'backward' : 'forward'),
    resilience,
    area: requireLargestArea(header),
    hash: resilience === 'checksum' ? resilienceHash : '',
    blockSizeBytes: 512,
    keyslot: requireFreeId(header, 'keyslots', undefined),
  };
  const sectorBytes = unitBytesOf(reencryption);
  const totalBytes = dataBytes(payload, sides.previous, sectorBytes);
  const blockSizeBytes = totalBytes % PAGE_BYTES === 0 ? PAGE_BYTES : sectorBytes;
  const begun = withReencryption(withoutPairing(header), { ...reencryption, blockSizeBytes });
  return withVerifiedReencryption(begun, requireReencryption(begun), keys);
}

/** The record of the payload speaks of segments and a key that are about to change. */
export function withoutPairing(header: LuksHeader): LuksHeader {
  return editHeader(header, (document) => {
    for (const [id, { type }] of header.tokens) {
      if (type === PAIRING_TOKEN_TYPE) delete objectMember(document, 'tokens')[id];
    }
  });
}

/**
 * Makes a detached header for a payload that is plaintext, and begins its encryption. Resolves to the header.
 * Claims and throws as `formatVolume` does.
 */
export function beginEncryption(
  paths: Required<VolumePaths>,
  passphrase: Uint8Array,
  options: FormatOptions & BeginOptions,
): Promise<LuksHeader> {
  return formatVolume(paths, passphrase, {
    ...options,
    pairing: false,
    adapt: (header, volumeKey, payload) => {
      const final = header.segments[0]!;
      const previous: Segment = { ...final, type: 'linear', encryption: null, sectorSizeBytes: 512 };
      const sides = { previous, final, previousDigest: null, finalDigest: 0 };
      return withBegun(header, 'encrypt', sides, payload, new Map([[0, volumeKey]]), options);
    },
  });
}

/** The one segment of a volume that nothing else is being done to. Throws UNSUPPORTED, BAD_ARGUMENT. */
export function requireWhole(header: LuksHeader, operation: string): Segment {
  if (header.version === 1) {
    throw new LuksError(
      'BAD_ARGUMENT',
      `cannot ${operation}: LUKS1 has no place to record how far it is; convert --type luks2 first`,
    );
  }
  requireReadablePayload(header, operation);
  const [segment, more] = header.segments;
  if (segment && !more && segment.ivTweak === 0n) return segment;
  throw new LuksError('UNSUPPORTED', `cannot ${operation}: the volume has several segments, or an IV tweak`);
}

/** Writes what was made of the header `before`, if that is still there. */
function replaceHeader(
  device: Device,
  before: LuksHeader,
  after: LuksHeader,
  material: readonly WriteStep[] = [],
): Promise<void> {
  return changeHeader(device, (now) => {
    requireUnchanged(device, before, now);
    return { steps: [...material, ...planMetadata(now, { ...after, disk: now.disk })], result: undefined };
  });
}

/**
 * Begins to turn the payload of a detached header into plaintext. Claims both devices as a writer until they are closed.
 */
export async function beginDecryption(
  device: Device,
  payload: Device,
  unlock: Unlock,
  options: BeginOptions,
): Promise<void> {
  claimForWork(device, payload);
  const header = readHeader(device);
  const previous = requireWhole(header, 'decrypt');
  const { volumeKey, digestId } = await requireVolumeKey(device, header, unlock);
  try {
    const final: Segment = {
      ...previous,
      type: 'linear',
      encryption: null,
      sectorSizeBytes: 512,
      flags: [],
    };
    const sides = { previous, final, previousDigest: digestId, finalDigest: null };
    const keys = new Map([[digestId, volumeKey.bytes]]);
    const begun = await withBegun(header, 'decrypt', sides, payload, keys, options);
    await replaceHeader(device, header, begun);
  } finally {
    volumeKey.destroy();
  }
}

/** The keyslot whose passphrase the new volume key gets; those of others would be lost without a word. */
function requireOneKeyslot(header: LuksHeader, digestId: number, keyslot: number, isNamed: boolean): void {
  const others = header.digests.get(digestId)!.keyslots.filter((id) => id !== keyslot);
  if (others.length === 0 || isNamed) return;
  throw new LuksError(
    'BAD_ARGUMENT',
    `the passphrases of keyslots ${others.join(', ')} would not open the volume afterwards; if that is meant, name the ` +
      'one that stays with --key-slot, or keep the volume key with --keep-key',
  );
}

/** Tokens of the old keyslot are for the new one as well. */
function shareTokens(document: JsonObject, from: number, to: number): void {
  for (const token of Object.values(objectMember(document, 'tokens'))) {
    const { keyslots } = token as JsonObject;
    if (isTextArray(keyslots) && keyslots.includes(String(from))) keyslots.push(String(to));
  }
}

interface NewKey {
  header: LuksHeader;
  digestId: number;
  material: WriteStep[];
}

/** `header` with a second volume key, which the same passphrase opens. */
async function withSecondKey(
  header: LuksHeader,
  keyslot: number,
  passphrase: Uint8Array,
  volumeKey: Uint8Array,
  encryption: string,
  options: ReencryptOptions,
): Promise<NewKey> {
  const digestId = requireFreeDigest(header);
  const isForced = options.pbkdf?.forceIterations !== undefined;
  const digest = await makeDigest(volumeKey, isForced ? { iterations: MIN_DIGEST_ITERATIONS } : {});
  const id = requireFreeId(header, 'keyslots', undefined);
  const made = await makeKeyslot(header, id, volumeKey, passphrase, {
    encryption,
    encryptionKeySizeBytes: volumeKey.length,
    ...(options.pbkdf && { pbkdf: options.pbkdf }),
  });
  const withDigest = editHeader(header, (document) => {
    objectMember(document, 'digests')[digestId] = encodeDigest({
      type: 'pbkdf2',
      keyslots: [],
      segments: [],
      ...digest,
    });
  });
  const keyed = editHeader(withKeyslot(withDigest, id, made.keyslot, digestId), (document) =>
    shareTokens(document, keyslot, id),
  );
  return { header: keyed, digestId, material: [made.material] };
}

/**
 * Begins to turn the payload from its volume key, cipher and sectors to others. Claims both devices as a writer until they
 * are closed.
 */
export async function beginReencryption(
  device: Device,
  payload: Device,
  unlock: Unlock,
  options: ReencryptOptions,
): Promise<void> {
  claimForWork(device, payload);
  return recordReencryption(device, payload, unlock, options);
}

/** `beginReencryption` of a volume that a mount has claimed. The payload is looked at for its size alone. */
export async function recordReencryption(
  device: Device,
  payload: Device,
  unlock: Unlock,
  options: ReencryptOptions,
): Promise<void> {
  const header = readHeader(device);
  const previous = requireWhole(header, 'reencrypt');
  if (!('passphrase' in unlock)) {
    throw new LuksError(
      'BAD_ARGUMENT',
      '--volume-key-file is no passphrase for the new volume key; give one',
    );
  }
  const { volumeKey: oldKey, keyslot, digestId } = await requireVolumeKey(device, header, unlock);
  const { encryption = previous.encryption!, sectorSizeBytes = previous.sectorSizeBytes } = options;
  const { keepsKey = false, keySizeBytes = oldKey.sizeBytes } = options;
  const newKey = Secret.takeFrom(keepsKey ? Buffer.from(oldKey.bytes) : randomBytes(keySizeBytes));
  try {
    createSectorCipher(encryption, newKey.bytes, sectorSizeBytes).destroy();
    if (!keepsKey) requireOneKeyslot(header, digestId, keyslot!, unlock.keyslot !== undefined);
    const keyed: NewKey = keepsKey
      ? { header, digestId, material: [] }
      : await withSecondKey(header, keyslot!, unlock.passphrase, newKey.bytes, encryption, options);
    const sides = {
      previous,
      final: { ...previous, encryption, sectorSizeBytes },
      previousDigest: digestId,
      finalDigest: keyed.digestId,
    };
    const keys = new Map([
      [digestId, oldKey.bytes],
      [keyed.digestId, newKey.bytes],
    ]);
    const begun = await withBegun(keyed.header, 'reencrypt', sides, payload, keys, options);
    await replaceHeader(device, header, begun, keyed.material);
  } finally {
    oldKey.destroy();
    newKey.destroy();
  }
}
