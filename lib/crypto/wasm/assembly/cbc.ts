/**
 * Cipher block chaining (NIST SP 800-38A, 6.2) around a block cipher that only knows single blocks. Block
 * sizes are 8 or 16 bytes. Knows no cipher and no key.
 */

/** `target` ^= `mask`, one block. */
export function xorBlock(target: usize, mask: usize, blockBytes: i32): void {
  store<u64>(target, load<u64>(target) ^ load<u64>(mask));
  if (blockBytes == 16) store<u64>(target, load<u64>(target, 8) ^ load<u64>(mask, 8), 8);
}

export function copyBlock(target: usize, source: usize, blockBytes: i32): void {
  store<u64>(target, load<u64>(source));
  if (blockBytes == 16) store<u64>(target, load<u64>(source, 8), 8);
}

/**
 * The end of CBC decryption: `data` holds the ciphertext, `decrypted` the same run through the block cipher;
 * each block of `data` becomes decrypted ^ the ciphertext block before it, or the sector's IV at its head.
 * Runs backwards, so that every ciphertext block is read before it is overwritten.
 */
export function unchainCbc(
  data: usize,
  decrypted: usize,
  ivs: usize,
  sectorCount: i32,
  sectorBytes: i32,
  blockBytes: i32,
): void {
  for (let sector = sectorCount - 1; sector >= 0; sector--) {
    const head = <usize>sector * sectorBytes;
    // Two 8-byte blocks go as one vector: the 16 bytes before them are their two predecessors shifted by 8.
    let at = head + sectorBytes - 16;
    while (at > head) {
      const before = v128.load(data + at - blockBytes);
      v128.store(data + at, v128.xor(v128.load(decrypted + at), before));
      at -= 16;
    }
    if (blockBytes == 8) {
      store<u64>(data + head + 8, load<u64>(decrypted + head + 8) ^ load<u64>(data + head));
    }
    copyBlock(data + head, decrypted + head, blockBytes);
    xorBlock(data + head, ivs + <usize>sector * blockBytes, blockBytes);
  }
}

/**
 * CBC encryption of many sectors side by side, one column of blocks (the n-th block of every sector) at a
 * time. Here `work` (one block a sector: the IVs, at first) takes in the column at `column`.
 */
export function xorColumn(work: usize, column: usize, count: i32, sectorBytes: i32, blockBytes: i32): void {
  for (let i = 0; i < count; i++, work += blockBytes, column += sectorBytes) {
    xorBlock(work, column, blockBytes);
  }
}

/** Stores the encrypted `work` as the column at `column` and takes in the next column of plaintext. */
export function stepColumn(work: usize, column: usize, count: i32, sectorBytes: i32, blockBytes: i32): void {
  for (let i = 0; i < count; i++, work += blockBytes, column += sectorBytes) {
    copyBlock(column, work, blockBytes);
    xorBlock(work, column + blockBytes, blockBytes);
  }
}

/** `work` = the column at `column`. */
export function loadColumn(work: usize, column: usize, count: i32, sectorBytes: i32, blockBytes: i32): void {
  for (let i = 0; i < count; i++, work += blockBytes, column += sectorBytes) {
    copyBlock(work, column, blockBytes);
  }
}

/** Stores the encrypted `work` as the last column, at `column`. */
export function storeColumn(work: usize, column: usize, count: i32, sectorBytes: i32, blockBytes: i32): void {
  for (let i = 0; i < count; i++, work += blockBytes, column += sectorBytes) {
    copyBlock(column, work, blockBytes);
  }
}

/** XORs `work` into the column at `column`. */
export function maskColumn(work: usize, column: usize, count: i32, sectorBytes: i32, blockBytes: i32): void {
  for (let i = 0; i < count; i++, work += blockBytes, column += sectorBytes) {
    xorBlock(column, work, blockBytes);
  }
}
