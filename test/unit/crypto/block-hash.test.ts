/**
 * The hashes of many blocks are those that node:crypto makes one by one, wherever the blocks lie.
 */
import { createHash, randomBytes } from 'node:crypto';
import t from 'tap';
import { BlockHash } from '../../../lib/crypto/block-hash.js';
import { requireHash, supportedHashes } from '../../../lib/crypto/hash.js';
import { allocateIoBuffer, releaseIoBuffer } from '../../../lib/crypto/kernel.js';
import { EvpDigest } from '../../../lib/native/digest.js';

function expected(name: string, data: Buffer, blockBytes: number): Buffer {
  const hashes: Buffer[] = [];
  for (let start = 0; start < data.length; start += blockBytes) {
    const block = data.subarray(start, start + blockBytes);
    hashes.push(createHash(requireHash(name)).update(block).digest());
  }
  return Buffer.concat(hashes);
}

t.test('every hash, in the memory of the kernel and elsewhere, batches that are whole and not', async (t) => {
  for (const name of supportedHashes()) {
    for (const [blockBytes, count] of [
      [512, 200],
      [4096, 64],
      [2048, 1],
    ] as const) {
      const elsewhere = randomBytes(blockBytes * count);
      const inKernel = allocateIoBuffer(elsewhere.length);
      elsewhere.copy(inKernel);
      const hash = new BlockHash(name);
      const wanted = expected(name, elsewhere, blockBytes);
      for (const data of [elsewhere, inKernel]) {
        const got = Buffer.alloc(wanted.length + 1, 0xaa);
        hash.hashBlocks(data, blockBytes, got);
        t.ok(got.subarray(0, -1).equals(wanted), `${name}, ${count} blocks of ${blockBytes}`);
        t.equal(got.at(-1), 0xaa, 'and nothing behind them');
      }
      hash.destroy();
      releaseIoBuffer(inKernel);
    }
  }
});

t.test('what OpenSSL does not know', async (t) => {
  t.equal(EvpDigest.find('no-such-hash'), null);
  t.equal(createHash('sha256').update('').digest().length, 32, "node's OpenSSL works on");
  t.throws(() => new BlockHash('no-such-hash'), { code: 'UNSUPPORTED' });
});
