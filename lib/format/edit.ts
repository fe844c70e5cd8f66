/**
 * Changes to the logical model, for both versions: each takes a header and returns another, and nothing is
 * written. They work on the JSON document, so that whatever is not understood stays as it is.
 */
import { LuksError } from '../errors.js';
import { isTextArray, type JsonObject, member, numberedMembers, objectMember } from './json.js';
import { validateDocument } from './luks2-validate.js';
import { decodeMetadata, encodeKeyslot } from './metadata.js';
import type { LuksHeader, PassphraseKeyslot } from './model.js';

/** Most keyslots, tokens a header can have. */
const MAX_IDS = { keyslots: { 1: 8, 2: 32 }, tokens: { 1: 0, 2: 32 } } as const;

/**
 * `header` with its document changed by `edit`. Throws BAD_ARGUMENT where the result would break a rule of
 * its version.
 */
export function editHeader(header: LuksHeader, edit: (document: JsonObject) => void): LuksHeader {
  const document = structuredClone(header.document);
  edit(document);
  const metadata =
    header.disk.version === 2
      ? validateDocument(document, header.disk.hdrSizeBytes)
      : decodeMetadata(document);
  if (typeof metadata === 'string') {
    throw new LuksError('BAD_ARGUMENT', `the header cannot be changed so: ${metadata}`);
  }
  return { ...header, ...metadata, document };
}

/** The lowest id not in use, or `wanted` if it is not. Throws BAD_ARGUMENT. */
export function requireFreeId(
  header: LuksHeader,
  section: 'keyslots' | 'tokens',
  wanted: number | undefined,
): number {
  const limit = MAX_IDS[section][header.version];
  const name = section.slice(0, -1);
  if (wanted === undefined) {
    const free = Array.from({ length: limit }, (_, id) => id).find((id) => !header[section].has(id));
    if (free !== undefined) return free;
    throw new LuksError('BAD_ARGUMENT', `all ${limit} ${section} of the header are in use; remove one first`);
  }
  if (!Number.isInteger(wanted) || wanted < 0 || wanted >= limit) {
    throw new LuksError('BAD_ARGUMENT', `${name} ${wanted} does not exist in LUKS${header.version}`);
  }
  if (header[section].has(wanted)) {
    throw new LuksError('BAD_ARGUMENT', `${name} ${wanted} is in use; choose another or remove it first`);
  }
  return wanted;
}

const MAX_DIGESTS = 8;

/** The lowest digest id not in use. Throws BAD_ARGUMENT. */
export function requireFreeDigest(header: LuksHeader): number {
  const free = Array.from({ length: MAX_DIGESTS }, (_, id) => id).find((id) => !header.digests.has(id));
  if (free !== undefined) return free;
  throw new LuksError(
    'BAD_ARGUMENT',
    `all ${MAX_DIGESTS} digests of the header are in use; remove unbound keyslots`,
  );
}

/** Rewrites the references to keyslots in each object of `section`. */
function mapReferences(
  document: JsonObject,
  section: 'digests' | 'tokens',
  map: (keyslots: string[], id: number) => string[],
): void {
  for (const [id, object] of numberedMembers(document, section)) {
    const keyslots = member(object, 'keyslots');
    if (isTextArray(keyslots)) object.keyslots = map(keyslots, id);
  }
}

/** `header` with keyslot `id` added, or replaced, and belonging to this digest. */
export function withKeyslot(
  header: LuksHeader,
  id: number,
  keyslot: PassphraseKeyslot,
  digestId: number,
): LuksHeader {
  return editHeader(header, (document) => {
    objectMember(document, 'keyslots')[id] = encodeKeyslot(keyslot);
    mapReferences(document, 'digests', (ids, digest) => {
      const others = ids.filter((each) => each !== String(id));
      return digest === digestId ? [...others, String(id)].sort((a, b) => Number(a) - Number(b)) : others;
    });
  });
}

/**
 * `header` without these keyslots and without references to them. A digest that then ties nothing to
 * anything goes too: it could only help to guess the key of an unbound keyslot.
 */
export function withoutKeyslots(header: LuksHeader, keyslots: readonly number[]): LuksHeader {
  const gone = keyslots.map(String);
  return editHeader(header, (document) => {
    for (const id of gone) delete objectMember(document, 'keyslots')[id];
    mapReferences(document, 'digests', (ids) => ids.filter((id) => !gone.includes(id)));
    mapReferences(document, 'tokens', (ids) => ids.filter((id) => !gone.includes(id)));
    const digests = objectMember(document, 'digests');
    for (const [id, digest] of header.digests) {
      const isLeft = digest.keyslots.some((keyslot) => !keyslots.includes(keyslot));
      if (digest.segments.length === 0 && !isLeft) delete digests[id];
    }
  });
}
