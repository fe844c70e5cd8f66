/**
 * Adiantum (P. Crowley, E. Biggers, "Adiantum: length-preserving encryption for entry-level processors", 2018) but for
 * its one call of the block cipher: the keys, the hash (NH, then Poly1305), and the stream. Tweaks are 32 bytes, the
 * right part of a sector is its last 16 bytes.
 */
import { setXchacha, xorChacha } from './chacha.js';
import { addPoly1305, emitPoly1305, restartPoly1305, setPoly1305 } from './poly1305.js';

/** A schedule, 1744 bytes: the stream key, two Poly1305 states, room to work in, and the derived keys. */
const HEADER_HASH: usize = 32;
const MESSAGE_HASH: usize = 112;
const STREAM_STATE: usize = 192;
const PIECE: usize = 256;
const SUM: usize = 512;
const DERIVED: usize = 608;
/** Of the derived keys: the block cipher's, Poly1305's of the header and of the message, NH's. */
const BLOCK_KEY_BYTES: usize = 32;
const NH_KEY: usize = 672;
const DERIVED_BYTES: usize = 1136;
const TWEAK_BYTES: usize = 32;
const NH_UNIT_BYTES: usize = 1024;

/**
 * Derives the keys from the 32 bytes at the schedule's start (section 2, "Setup"): the key of the block cipher is
 * then at offset 608, for the caller to take and wipe.
 */
export function setAdiantumKey(schedule: usize, rounds: i32): void {
  const nonce = schedule + SUM;
  memory.fill(nonce, 0, 16);
  store<u8>(nonce, 1);
  setXchacha(schedule + STREAM_STATE, schedule, nonce, 0, rounds);
  memory.fill(schedule + DERIVED, 0, DERIVED_BYTES);
  xorChacha(schedule + STREAM_STATE, schedule + PIECE, schedule + DERIVED, DERIVED_BYTES, rounds);
  setPoly1305(schedule + HEADER_HASH, schedule + DERIVED + BLOCK_KEY_BYTES);
  setPoly1305(schedule + MESSAGE_HASH, schedule + DERIVED + BLOCK_KEY_BYTES + 16);
}

/** What one pass of NH adds for 16 bytes: (m0 + k0)(m2 + k2) and (m1 + k1)(m3 + k3). */
// @ts-ignore: decorator
@inline
function nhPass(message: v128, key: usize): v128 {
  const sum = i32x4.add(message, v128.load(key));
  return i64x2.extmul_low_i32x4_u(sum, v128.shuffle<i64>(sum, sum, 1, 0));
}

// @ts-ignore: decorator
@inline
function storeSum(at: usize, lanes: v128): void {
  store<u64>(at, i64x2.extract_lane(lanes, 0) + i64x2.extract_lane(lanes, 1));
}

/** NH of up to 1024 bytes, whole blocks: four passes, 32 bytes at `out`. */
function hashNh(key: usize, data: usize, bytes: usize, out: usize): void {
  let a = i64x2.splat(0), b = i64x2.splat(0), c = i64x2.splat(0), d = i64x2.splat(0);
  for (const end = data + bytes; data < end; data += 16, key += 16) {
    const message = v128.load(data);
    a = i64x2.add(a, nhPass(message, key));
    b = i64x2.add(b, nhPass(message, key + 16));
    c = i64x2.add(c, nhPass(message, key + 32));
    d = i64x2.add(d, nhPass(message, key + 48));
  }
  storeSum(out, a);
  storeSum(out + 8, b);
  storeSum(out + 16, c);
  storeSum(out + 24, d);
}

/** The hash of a tweak and the left part of a sector, added up modulo 2^128: 16 bytes at SUM. */
function hash(schedule: usize, tweak: usize, left: usize, bytes: usize): void {
  const header = schedule + HEADER_HASH;
  const message = schedule + MESSAGE_HASH;
  const sum = schedule + SUM;
  restartPoly1305(header);
  store<u64>(sum, bytes << 3);
  store<u64>(sum, 0, 8);
  addPoly1305(header, sum, 1);
  addPoly1305(header, tweak, <i32>TWEAK_BYTES >> 4);
  restartPoly1305(message);
  for (let done: usize = 0; done < bytes; done += NH_UNIT_BYTES) {
    hashNh(schedule + NH_KEY, left + done, min<usize>(NH_UNIT_BYTES, bytes - done), sum);
    addPoly1305(message, sum, 2);
  }
  emitPoly1305(header, sum);
  emitPoly1305(message, sum + 16);
  const low = load<u64>(sum) + load<u64>(sum, 16);
  const carry: u64 = low < load<u64>(sum) ? 1 : 0;
  store<u64>(sum, low);
  store<u64>(sum, load<u64>(sum, 8) + load<u64>(sum, 24) + carry, 8);
}

/** `middles` (one block a sector) = the right part of each sector plus the hash of the rest. */
export function addAdiantumHash(
  schedule: usize, data: usize, tweaks: usize, middles: usize, sectorCount: i32, sectorBytes: usize,
): void {
  for (; sectorCount > 0; sectorCount--, data += sectorBytes, tweaks += TWEAK_BYTES, middles += 16) {
    hash(schedule, tweaks, data, sectorBytes - 16);
    const right = data + sectorBytes - 16;
    const low = load<u64>(right) + load<u64>(schedule + SUM);
    const carry: u64 = low < load<u64>(right) ? 1 : 0;
    store<u64>(middles, load<u64>(right, 8) + load<u64>(schedule + SUM, 8) + carry, 8);
    store<u64>(middles, low);
  }
}

/** The right part of each sector = its middle minus the hash of the rest. */
export function subtractAdiantumHash(
  schedule: usize, data: usize, tweaks: usize, middles: usize, sectorCount: i32, sectorBytes: usize,
): void {
  for (; sectorCount > 0; sectorCount--, data += sectorBytes, tweaks += TWEAK_BYTES, middles += 16) {
    hash(schedule, tweaks, data, sectorBytes - 16);
    const right = data + sectorBytes - 16;
    const borrow: u64 = load<u64>(middles) < load<u64>(schedule + SUM) ? 1 : 0;
    store<u64>(right, load<u64>(middles) - load<u64>(schedule + SUM));
    store<u64>(right, load<u64>(middles, 8) - load<u64>(schedule + SUM, 8) - borrow, 8);
  }
}

/** XORs the left part of each sector with the stream whose nonce is its middle, then a one. */
export function xorAdiantumStream(
  schedule: usize, data: usize, middles: usize, sectorCount: i32, sectorBytes: usize, rounds: i32,
): void {
  for (; sectorCount > 0; sectorCount--, data += sectorBytes, middles += 16) {
    setXchacha(schedule + STREAM_STATE, schedule, middles, 1, rounds);
    xorChacha(schedule + STREAM_STATE, schedule + PIECE, data, sectorBytes - 16, rounds);
  }
}
