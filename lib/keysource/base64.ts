/**
 * Base64 (RFC 4648, section 4) from bytes to bytes: key material must not become a string, which nobody can wipe.
 */

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const NEWLINE = 0x0a;
const PADDING = 0x3d;

/** Value of each digit by its byte, 255 for a byte that is none. */
const VALUES = new Uint8Array(256).fill(255);
for (const [value, digit] of [...ALPHABET].entries()) VALUES[digit.charCodeAt(0)] = value;

/** A new Buffer, the caller's to wipe, or null where `text` has anything but digits, newlines and final padding. */
export function decodeBase64(text: Uint8Array): Buffer | null {
  const decoded = Buffer.alloc(Math.floor((text.length * 3) / 4));
  let length = 0;
  let bits = 0;
  let bitCount = 0;
  let isEnded = false;
  for (const byte of text) {
    if (byte === NEWLINE) continue;
    isEnded ||= byte === PADDING;
    if (isEnded && byte === PADDING) continue;
    if (isEnded || VALUES[byte] === 255) {
      decoded.fill(0);
      return null;
    }
    bits = ((bits << 6) | VALUES[byte]!) & 0xffff;
    bitCount += 6;
    if (bitCount >= 8) {
      bitCount -= 8;
      decoded[length] = (bits >> bitCount) & 0xff;
      length += 1;
    }
  }
  return decoded.subarray(0, length);
}
