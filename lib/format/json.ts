/**
 * JSON of an untrusted JSON area: bounded parsing and shape tests (LUKS2 spec, section 3, "LUKS2 JSON
 * metadata"). Knows the area's framing and number notation, nothing of what the objects mean.
 */

export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject;
export type JsonObject = { [key: string]: JsonValue };

/** json-c's default, which cryptsetup parses with: whatever is deeper, it cannot read either. */
const MAX_DEPTH = 32;
const MAX_UINT64 = 2n ** 64n - 1n;

/** Why a JSON area cannot be used. */
export class JsonAreaError extends Error {}

/** Brackets are counted before parsing, so that nothing later can recurse deeper than this. */
function checkDepth(text: string): void {
  let depth = 0;
  let isInString = false;
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i];
    if (isInString) {
      if (char === '\\') i += 1;
      else if (char === '"') isInString = false;
    } else if (char === '"') {
      isInString = true;
    } else if (char === '{' || char === '[') {
      depth += 1;
      if (depth > MAX_DEPTH) throw new JsonAreaError(`JSON is nested deeper than ${MAX_DEPTH} levels`);
    } else if (char === '}' || char === ']') {
      depth -= 1;
    }
  }
}

/** The object in a JSON area: text from `{`, at least one NUL, and nothing but NULs from there. */
export function parseJsonArea(area: Uint8Array): JsonObject {
  const end = area.indexOf(0);
  if (end < 0) throw new JsonAreaError('the JSON area is not NUL-terminated');
  if (area[0] !== 0x7b) throw new JsonAreaError('the JSON area does not begin with an object');
  if (area.subarray(end).some((byte) => byte !== 0)) {
    throw new JsonAreaError('there are bytes behind the end of the JSON text');
  }
  return parseJsonObject(area.subarray(0, end));
}

/** The object that `bytes` (UTF-8, any length, depth bounded) is. Throws JsonAreaError where it is none. */
export function parseJsonObject(bytes: Uint8Array): JsonObject {
  let parsed: JsonValue;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    checkDepth(text);
    parsed = JSON.parse(text);
  } catch (error) {
    if (error instanceof JsonAreaError) throw error;
    throw new JsonAreaError(`the JSON text is malformed (${(error as Error).message})`);
  }
  if (!isObject(parsed)) throw new JsonAreaError('the JSON text is not an object');
  return parsed;
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `object[key]` if it is the object's own; never what Object.prototype would answer. */
export function member(object: JsonObject, key: string): JsonValue | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

/** The member as an object, an empty one where it is missing or something else. */
export function objectMember(object: JsonObject, key: string): JsonObject {
  const value = member(object, key);
  return isObject(value) ? value : {};
}

/** The members of `object[key]` that are objects, by their numeric id in rising order. */
export function numberedMembers(object: JsonObject, key: string): [id: number, value: JsonObject][] {
  return Object.entries(objectMember(object, key))
    .filter((entry): entry is [string, JsonObject] => isObject(entry[1]))
    .map(([id, value]): [number, JsonObject] => [Number(id), value])
    .sort((a, b) => a[0] - b[0]);
}

/** "Numbers that can exceed 32 bits are decimal strings." */
export function isUint64(value: JsonValue | undefined): value is string {
  return typeof value === 'string' && /^\d{1,20}$/.test(value) && BigInt(value) <= MAX_UINT64;
}

/** A JSON number that is a uint32, as sizes and counts are. */
export function isCount(value: JsonValue | undefined): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32;
}

export function isPositive(value: JsonValue | undefined): value is number {
  return isCount(value) && value > 0;
}

export function isText(value: JsonValue | undefined): value is string {
  return typeof value === 'string';
}

export function isTextArray(value: JsonValue | undefined): value is string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}

/** Base64 of at least one byte, in the form that encoders write. */
export function isBase64(value: JsonValue | undefined): value is string {
  return (
    typeof value === 'string' && value.length > 0 && Buffer.from(value, 'base64').toString('base64') === value
  );
}
