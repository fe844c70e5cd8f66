/**
 * What a LUKS2 JSON document must be before anything is read from it: an ordered row of checks, one rule
 * each, first the shapes that later ones rely on (LUKS2 spec, section 3; limits as cryptsetup
 * enforces them). Types of keyslots, KDFs, tokens, segments and flags that are not known are let through.
 */
import {
  isBase64,
  isCount,
  isObject,
  isPositive,
  isText,
  isTextArray,
  isUint64,
  type JsonObject,
  type JsonValue,
  member,
  numberedMembers,
  objectMember,
} from './json.js';
import { decodeMetadata } from './metadata.js';
import type { Metadata } from './model.js';
import { findMetadataProblem } from './validate.js';

/** What of the binary header the checks need. */
interface ValidationContext {
  hdrSizeBytes: number;
}

/** What is wrong, or null. */
type Check = (document: JsonObject, context: ValidationContext) => string | null;

const MAX_KEYSLOTS_SIZE = 128n * 1024n * 1024n;
const SECTION_LIMITS = { keyslots: 32, tokens: 32, segments: 32, digests: 8 } as const;

type Rule = [key: string, test: (value: JsonValue | undefined) => boolean, expected: string];

/** The first rule that a member of `object` breaks. */
function checkMembers(what: string, object: JsonObject, rules: readonly Rule[]): string | null {
  for (const [key, test, expected] of rules) {
    if (!test(member(object, key))) return `${what} has no valid "${key}" (${expected})`;
  }
  return null;
}

function orMissing(
  test: (value: JsonValue | undefined) => boolean,
): (value: JsonValue | undefined) => boolean {
  return (value) => value === undefined || test(value);
}

function firstProblem(problems: Iterable<string | null>): string | null {
  for (const problem of problems) if (problem) return problem;
  return null;
}

function checkEach(
  document: JsonObject,
  section: keyof typeof SECTION_LIMITS,
  name: string,
  check: (what: string, object: JsonObject) => string | null,
): string | null {
  return firstProblem(
    numberedMembers(document, section).map(([id, object]) => check(`${name} ${id}`, object)),
  );
}

const hasAllSections: Check = (document) =>
  checkMembers(
    'the metadata',
    document,
    [...Object.keys(SECTION_LIMITS), 'config'].map((key): Rule => [key, isObject, 'an object']),
  );

const hasNumberedObjects: Check = (document) => {
  for (const [section, limit] of Object.entries(SECTION_LIMITS)) {
    const entries = Object.entries(objectMember(document, section));
    for (const [id, value] of entries) {
      if (!/^(0|[1-9]\d?)$/.test(id) || Number(id) >= limit)
        return `"${id}" is no possible id in "${section}"`;
      if (!isObject(value)) return `entry ${id} of "${section}" is no object`;
      if (!isText(member(value, 'type'))) return `entry ${id} of "${section}" has no type`;
    }
  }
  return null;
};

const hasConfig: Check = (document) =>
  checkMembers('"config"', objectMember(document, 'config'), [
    ['json_size', isUint64, 'a uint64'],
    ['keyslots_size', isUint64, 'a uint64'],
    ['flags', orMissing(isTextArray), 'an array of names'],
    ['requirements', orMissing(isObject), 'an object'],
  ]);

const hasRequirements: Check = (document) => {
  const requirements = objectMember(objectMember(document, 'config'), 'requirements');
  return checkMembers('"requirements"', requirements, [
    ['mandatory', orMissing(isTextArray), 'an array of names'],
  ]);
};

const fitsItsSizes: Check = (document, { hdrSizeBytes }) => {
  const config = objectMember(document, 'config');
  const jsonSize = BigInt(member(config, 'json_size') as string);
  const keyslotsSize = BigInt(member(config, 'keyslots_size') as string);
  if (jsonSize !== BigInt(hdrSizeBytes - 4096)) return `json_size ${jsonSize} is not that of the JSON area`;
  if (keyslotsSize % 4096n) return `keyslots_size ${keyslotsSize} is not a multiple of 4096`;
  if (keyslotsSize > MAX_KEYSLOTS_SIZE) return `keyslots_size ${keyslotsSize} is above 128 MiB`;
  return null;
};

const AREA_RULES: Rule[] = [
  ['type', isText, 'a name'],
  ['offset', isUint64, 'a uint64'],
  ['size', isUint64, 'a uint64'],
];

const hasKeyslotBasics: Check = (document) =>
  checkEach(document, 'keyslots', 'keyslot', (what, keyslot) => {
    const problem = checkMembers(what, keyslot, [
      ['key_size', isCount, 'a number of bytes'],
      ['priority', orMissing((value) => value === 0 || value === 1 || value === 2), '0, 1 or 2'],
      ['area', orMissing(isObject), 'an object'],
    ]);
    if (problem || member(keyslot, 'area') === undefined) return problem;
    return checkMembers(`the area of ${what}`, objectMember(keyslot, 'area'), AREA_RULES);
  });

const PBKDF2_RULES: Rule[] = [
  ['hash', isText, 'a name'],
  ['iterations', isPositive, 'a number above 0'],
  ['salt', isBase64, 'base64'],
];
const ARGON2_RULES: Rule[] = [
  ['time', isPositive, 'a number above 0'],
  ['memory', isPositive, 'a number above 0'],
  ['cpus', (value) => isPositive(value) && value < 256, 'a number from 1 to 255'],
  ['salt', isBase64, 'base64'],
];

function kdfRules(type: JsonValue | undefined): Rule[] | null {
  if (type === 'pbkdf2') return PBKDF2_RULES;
  return type === 'argon2i' || type === 'argon2id' ? ARGON2_RULES : null;
}

/** Unknown members would change the meaning of an object that has a fixed form. */
function checkExact(what: string, object: JsonObject, rules: readonly Rule[]): string | null {
  const problem = checkMembers(what, object, rules);
  if (problem) return problem;
  const extra = Object.keys(object).find((key) => key !== 'type' && !rules.some((rule) => rule[0] === key));
  return extra === undefined ? null : `${what} has an unknown member "${extra}"`;
}

const hasPassphraseKeyslots: Check = (document) =>
  checkEach(document, 'keyslots', 'keyslot', (what, keyslot) => {
    if (member(keyslot, 'type') !== 'luks2') return null;
    const kdf = objectMember(keyslot, 'kdf');
    const rules = kdfRules(member(kdf, 'type'));
    return firstProblem([
      checkMembers(what, keyslot, [
        ['kdf', isObject, 'an object'],
        ['af', isObject, 'an object'],
        ['area', isObject, 'an object'],
        ['key_size', isPositive, 'a number above 0'],
      ]),
      checkMembers(`the kdf of ${what}`, kdf, [['type', isText, 'a name']]),
      rules ? checkExact(`the kdf of ${what}`, kdf, rules) : null,
      checkExact(`the af of ${what}`, objectMember(keyslot, 'af'), [
        ['type', (value) => value === 'luks1', '"luks1"'],
        ['stripes', isPositive, 'a number above 0'],
        ['hash', isText, 'a name'],
      ]),
      checkExact(`the area of ${what}`, objectMember(keyslot, 'area'), [
        ...AREA_RULES,
        ['type', (value) => value === 'raw', '"raw"'],
        ['encryption', isText, 'a cipher'],
        ['key_size', isPositive, 'a number above 0'],
      ]),
    ]);
  });

const hasTokens: Check = (document) =>
  checkEach(document, 'tokens', 'token', (what, token) =>
    checkMembers(what, token, [['keyslots', isTextArray, 'an array of keyslot ids']]),
  );

const hasDigests: Check = (document) =>
  checkEach(document, 'digests', 'digest', (what, digest) => {
    const common: Rule[] = [
      ['keyslots', isTextArray, 'an array of keyslot ids'],
      ['segments', isTextArray, 'an array of segment ids'],
    ];
    const pbkdf2: Rule[] = [...PBKDF2_RULES, ['digest', isBase64, 'base64']];
    return checkMembers(what, digest, member(digest, 'type') === 'pbkdf2' ? [...common, ...pbkdf2] : common);
  });

function isSectorSize(value: JsonValue | undefined): boolean {
  return value === 512 || value === 1024 || value === 2048 || value === 4096;
}

const hasSegments: Check = (document) =>
  checkEach(document, 'segments', 'segment', (what, segment) => {
    const common: Rule[] = [
      ['offset', isUint64, 'a uint64'],
      ['size', (value) => value === 'dynamic' || isUint64(value), 'a uint64 or "dynamic"'],
      ['flags', orMissing(isTextArray), 'an array of names'],
    ];
    const crypt: Rule[] = [
      ['encryption', isText, 'a cipher'],
      ['iv_tweak', isUint64, 'a uint64'],
      ['sector_size', isSectorSize, '512, 1024, 2048 or 4096'],
      ['integrity', orMissing(isObject), 'an object'],
    ];
    return checkMembers(what, segment, member(segment, 'type') === 'crypt' ? [...common, ...crypt] : common);
  });

/** In this order: a check may rely on those before it. */
const CHECKS: readonly Check[] = [
  hasAllSections,
  hasNumberedObjects,
  hasConfig,
  hasRequirements,
  fitsItsSizes,
  hasKeyslotBasics,
  hasPassphraseKeyslots,
  hasTokens,
  hasDigests,
  hasSegments,
];

/** The first rule of shape that `document` breaks, or null. */
function findShapeProblem(document: JsonObject, context: ValidationContext): string | null {
  for (const check of CHECKS) {
    const problem = check(document, context);
    if (problem) return problem;
  }
  return null;
}

/** What is wrong with a document, read or about to be written, or its model. */
export function validateDocument(document: JsonObject, hdrSizeBytes: number): Metadata | string {
  const shapeProblem = findShapeProblem(document, { hdrSizeBytes });
  if (shapeProblem) return shapeProblem;
  const metadata = decodeMetadata(document);
  const areasStartBytes = 2 * hdrSizeBytes;
  const areasEndBytes = areasStartBytes + metadata.config.keyslotsSizeBytes;
  return findMetadataProblem(metadata, { areasStartBytes, areasEndBytes }) ?? metadata;
}
