/**
 * A reencryption under way, as a LUKS2 header records it: the keyslot of type `reencrypt`, two backup segments, and the
 * row of segments that tells how far it is (LUKS2 spec, "Reencryption"). Reads and edits metadata; moves no data.
 */
import { LuksError } from '../errors.js';
import { editHeader, requireFreeDigest, withoutKeyslots } from './edit.js';
import { type JsonObject, member, objectMember } from './json.js';
import { encodeDigest, encodeSegment } from './metadata.js';
import {
  type AreaPlace,
  type Digest,
  findDigestOf,
  findDigestOfSegment,
  type LuksHeader,
  type Segment,
} from './model.js';

export type ReencryptionMode = 'encrypt' | 'reencrypt' | 'decrypt';
export type Direction = 'forward' | 'backward';
/** How the part that is being rewritten survives a cut: hashes of its blocks, a copy of it, or not at all. */
export type Resilience = 'checksum' | 'journal' | 'none';

/** What the `reencrypt` keyslot says. */
export interface ReencryptionPlan {
  mode: ReencryptionMode;
  direction: Direction;
  resilience: Resilience;
  area: AreaPlace;
  /** Of the checksums. */
  hash: string;
  /** One checksum each; the payload's storage is believed to write no smaller unit in part. */
  blockSizeBytes: number;
}

/** From what to what, whichever way the data goes. */
export interface ReencryptionSides {
  keyslot: number;
  /** The whole payload before and after. */
  previous: Segment;
  final: Segment;
  /** Digests of their keys; null for a side that is not encrypted. */
  previousDigest: number | null;
  finalDigest: number | null;
}

export interface Reencryption extends ReencryptionPlan, ReencryptionSides {}

/** A stretch of the payload on which the work has been done, is being done, or is to be done. */
export interface Part {
  state: 'new' | 'hot' | 'old';
  /** From the payload's first byte of data. */
  offsetBytes: number;
  sizeBytes: number | 'dynamic';
}

export const REQUIREMENT = 'online-reencrypt-v2';
/** Of a decryption that gives back the room of its header, which `reencryption-giveback` reads. */
export const GIVEBACK_REQUIREMENT = 'online-reencrypt-v3';
export const IV_UNIT_BYTES = 512;
export const HOT_FLAG = 'in-reencryption';
const [PREVIOUS_FLAG, FINAL_FLAG] = ['backup-previous', 'backup-final'] as const;
const MODES: readonly string[] = ['encrypt', 'reencrypt', 'decrypt'];
const DIRECTIONS: readonly string[] = ['forward', 'backward'];
const RESILIENCES: readonly string[] = ['checksum', 'journal', 'none'];

function unsupported(what: string): LuksError {
  return new LuksError(
    'UNSUPPORTED',
    `this reencryption ${what}, which is not known here; finish it with: cryptsetup reencrypt --resume-only`,
  );
}

function corrupt(what: string): LuksError {
  return new LuksError('HEADER_CORRUPT', `the reencryption in the header ${what}; try: cryptsetup repair`);
}

/** @param resilience as the area's type says */
export function decodePlan(keyslot: JsonObject, area: AreaPlace, resilience: string): ReencryptionPlan {
  const areaObject = objectMember(keyslot, 'area');
  const [mode, direction] = [keyslot.mode, keyslot.direction].map(String);
  if (!RESILIENCES.includes(resilience)) throw unsupported(`is protected by "${resilience}"`);
  if (!MODES.includes(mode!) || !DIRECTIONS.includes(direction!)) throw corrupt('has no mode or direction');
  const isChecksum = resilience === 'checksum';
  const blockSizeBytes = isChecksum ? Number(member(areaObject, 'sector_size')) : IV_UNIT_BYTES;
  if (![512, 1024, 2048, 4096].includes(blockSizeBytes)) throw unsupported('has odd blocks');
  return {
    mode: mode as ReencryptionMode,
    direction: direction as Direction,
    resilience: resilience as Resilience,
    area: { offsetBytes: area.offsetBytes, sizeBytes: area.sizeBytes },
    hash: isChecksum ? String(member(areaObject, 'hash')) : '',
    blockSizeBytes,
  };
}

export function requireBackup(header: LuksHeader, flag: string): Segment {
  const found = header.segments.filter(({ flags }) => flags.includes(flag));
  if (found.length !== 1) throw corrupt(`has ${found.length} segments "${flag}"`);
  const segment = found[0]!;
  if (segment.integrity !== null) throw unsupported('has integrity protection');
  if (segment.ivTweak !== 0n) throw unsupported('has an IV tweak');
  const isKnown = segment.type === 'linear' || (segment.type === 'crypt' && segment.encryption !== null);
  if (!isKnown) throw unsupported(`has a segment of type "${segment.type}"`);
  return segment;
}

/** The reencryption of a header that has one under way. Throws BAD_ARGUMENT where it has none, UNSUPPORTED, HEADER_CORRUPT. */
export function requireReencryption(header: LuksHeader): Reencryption {
  const { requirements } = header.config;
  const entry = [...header.keyslots].find(([, { type }]) => type === 'reencrypt');
  if (requirements.length === 0 || !entry) {
    throw new LuksError(
      'BAD_ARGUMENT',
      'the header has no unfinished reencryption; begin one without --resume-only',
    );
  }
  if (requirements.includes(GIVEBACK_REQUIREMENT)) {
    throw new LuksError(
      'UNSUPPORTED',
      'a decryption that gives back its room is unfinished; finish it with: luksfuse decrypt --resume-only',
    );
  }
  const other = requirements.find((name) => name !== REQUIREMENT);
  if (other !== undefined) throw unsupported(`requires "${other}"`);
  const [keyslot, { area }] = entry;
  if (!area) throw corrupt('has no area');
  const [previous, final] = [requireBackup(header, PREVIOUS_FLAG), requireBackup(header, FINAL_FLAG)];
  const object = objectMember(objectMember(header.document, 'keyslots'), String(keyslot));
  const plan = decodePlan(object, area, area.type);
  const isConsistent =
    previous.offsetBytes === final.offsetBytes &&
    previous.sizeBytes === final.sizeBytes &&
    (previous.type === 'linear') === (plan.mode === 'encrypt') &&
    (final.type === 'linear') === (plan.mode === 'decrypt');
  if (!isConsistent) throw unsupported('moves the data, or mixes its segments');
  const digestOf = (segment: Segment) =>
    segment.type === 'crypt' ? findDigestOfSegment(header, segment) : null;
  return {
    ...plan,
    keyslot,
    previous,
    final,
    previousDigest: digestOf(previous),
    finalDigest: digestOf(final),
  };
}

/** A segment that is ciphertext or plain data as its JSON object. */
export function encodeAnySegment(segment: Omit<Segment, 'id' | 'integrity'>): JsonObject {
  const { encryption } = segment;
  if (encryption !== null) return encodeSegment({ ...segment, encryption });
  return {
    type: 'linear',
    offset: String(segment.offsetBytes),
    size: String(segment.sizeBytes),
    ...(segment.flags.length ? { flags: segment.flags } : {}),
  };
}

/** The segment that a part is. A hot one is written as what it is about to be. */
function segmentOfPart(reencryption: Reencryption, part: Part): Omit<Segment, 'id' | 'integrity'> {
  const { previous, final } = reencryption;
  const side = part.state === 'old' ? previous : final;
  return {
    ...side,
    offsetBytes: side.offsetBytes + part.offsetBytes,
    sizeBytes: part.sizeBytes,
    ivTweak: side.ivTweak + BigInt(part.offsetBytes / IV_UNIT_BYTES),
    flags: part.state === 'hot' ? [HOT_FLAG] : [],
  };
}

/** The segments of a row of parts with the backups behind them, as the document's member. */
function encodeSegments(reencryption: Reencryption, parts: readonly Part[]): JsonObject {
  const { previous, final } = reencryption;
  const row = [
    ...parts.map((part) => segmentOfPart(reencryption, part)),
    { ...previous, flags: [PREVIOUS_FLAG] },
    { ...final, flags: [FINAL_FLAG] },
  ];
  return Object.fromEntries(row.map((segment, id) => [String(id), encodeAnySegment(segment)]));
}

/** Which segments of the row belong to a digest: only those that the row calls encrypted count. */
function segmentIdsOf(digest: number, reencryption: Reencryption, parts: readonly Part[]): string[] {
  const { previous, final, previousDigest, finalDigest } = reencryption;
  const isNew = (state: Part['state'] | 'final') =>
    state !== 'old' && final.type === 'crypt' && digest === finalDigest;
  const isOld = (state: Part['state']) =>
    digest === previousDigest &&
    previous.type === 'crypt' &&
    (state === 'old' || (state === 'hot' && final.type === 'crypt'));
  const states = parts.map(({ state }) => state);
  const ids = states.flatMap((state, id) => (isNew(state) || isOld(state) ? [id] : []));
  if (isOld('old')) ids.push(parts.length);
  if (isNew('final')) ids.push(parts.length + 1);
  return ids.map(String);
}

/** `header` with the row of segments that says that these parts are done, hot and to be done. */
export function withParts(
  header: LuksHeader,
  reencryption: Reencryption,
  parts: readonly Part[],
): LuksHeader {
  return editHeader(header, (document) => {
    document.segments = encodeSegments(reencryption, parts);
    for (const [id, digest] of Object.entries(objectMember(document, 'digests'))) {
      (digest as JsonObject).segments = segmentIdsOf(Number(id), reencryption, parts);
    }
  });
}

/** What the segments say, ids apart, to be compared as JSON. */
export function spellSegments(segments: readonly Segment[]) {
  return segments.map(({ type, offsetBytes, sizeBytes, ivTweak, encryption, sectorSizeBytes, flags }) => [
    ...[type, offsetBytes, sizeBytes, String(ivTweak), encryption],
    ...[encryption === null ? 0 : sectorSizeBytes, flags],
  ]);
}

/** True where the header's row of segments is just that of these parts. */
export function hasParts(header: LuksHeader, reencryption: Reencryption, parts: readonly Part[]): boolean {
  const expected = withParts(header, reencryption, parts);
  const spell = ({ segments, digests }: LuksHeader) =>
    JSON.stringify([
      spellSegments(segments),
      [...digests].map(([id, digest]) => [id, digest.segments.toSorted((a, b) => a - b)]),
    ]);
  return spell(header) === spell(expected);
}

/** The `reencrypt` keyslot as its JSON object. */
export function encodePlan(plan: ReencryptionPlan): JsonObject {
  const { mode, direction, resilience, area, hash, blockSizeBytes } = plan;
  return {
    type: 'reencrypt',
    key_size: 1,
    mode,
    direction,
    priority: 0,
    area: {
      type: resilience,
      offset: String(area.offsetBytes),
      size: String(area.sizeBytes),
      ...(resilience === 'checksum' ? { hash, sector_size: blockSizeBytes } : {}),
    },
  };
}

/** `header` with a reencryption begun and nothing of it done. Its verification digest is still to be added. */
export function withReencryption(header: LuksHeader, reencryption: Reencryption): LuksHeader {
  const { previous, keyslot } = reencryption;
  const begun = editHeader(header, (document) => {
    objectMember(document, 'keyslots')[keyslot] = encodePlan(reencryption);
    objectMember(document, 'config').requirements = { mandatory: [REQUIREMENT] };
  });
  return withParts(begun, reencryption, [{ state: 'old', offsetBytes: 0, sizeBytes: previous.sizeBytes }]);
}

/** `header` with the digest that vouches for its reencryption, instead of an earlier one. */
export function withVerification(
  header: LuksHeader,
  keyslot: number,
  digest: Omit<Digest, 'type' | 'keyslots' | 'segments'>,
): LuksHeader {
  const id = findDigestOf(header, keyslot)?.id ?? requireFreeDigest(header);
  return editHeader(header, (document) => {
    objectMember(document, 'digests')[id] = encodeDigest({
      type: 'pbkdf2',
      keyslots: [keyslot],
      segments: [],
      ...digest,
    });
  });
}

/** Keyslots that end with the reencryption: its own, and those of a key that encrypts nothing any more. */
export function endingKeyslots(header: LuksHeader, reencryption: ReencryptionSides): number[] {
  const { keyslot, previousDigest, finalDigest } = reencryption;
  const isOver = previousDigest !== null && previousDigest !== finalDigest;
  return [keyslot, ...(isOver ? (header.digests.get(previousDigest)?.keyslots ?? []) : [])];
}

/** `header` as it is when the reencryption is done: the final segment alone, and its keys. */
export function withoutReencryption(header: LuksHeader, reencryption: ReencryptionSides): LuksHeader {
  const { final, finalDigest } = reencryption;
  const ended = editHeader(header, (document) => {
    document.segments = { 0: encodeAnySegment({ ...final, flags: [] }) };
    for (const [id, digest] of Object.entries(objectMember(document, 'digests'))) {
      (digest as JsonObject).segments = Number(id) === finalDigest ? ['0'] : [];
    }
    delete objectMember(document, 'config').requirements;
  });
  return withoutKeyslots(ended, endingKeyslots(header, reencryption));
}
