/**
 * argon2i and argon2id, version 1.3 (RFC 9106): by the package @node-rs/argon2, or by Node's own, which it has from 24 on,
 * on a machine for which the package has no build. Looked for when it is first needed, so that all else works without.
 */
import crypto from 'node:crypto';
import createDebug from 'debug';
import { LuksError } from '../errors.js';

const debug = createDebug('luksfuse:argon2');

export interface Argon2 {
  type: 'argon2i' | 'argon2id';
  /** Passes over the memory. */
  time: number;
  memoryKiB: number;
  /** Lanes. */
  cpus: number;
  salt: Buffer;
}

/** Rejects where argon2 does not take the parameters. */
type Derive = (kdf: Argon2, passphrase: Uint8Array, keySizeBytes: number) => Promise<Buffer>;

/** The package's `const enum`s, which cannot be imported under isolatedModules. */
const ALGORITHM = { argon2i: 1, argon2id: 2 } as const;
const VERSION_0X13 = 1;

async function findPackage(): Promise<Derive | null> {
  try {
    const { hashRaw } = await import('@node-rs/argon2');
    return (kdf, passphrase, keySizeBytes) =>
      hashRaw(passphrase, {
        algorithm: ALGORITHM[kdf.type],
        version: VERSION_0X13,
        memoryCost: kdf.memoryKiB,
        timeCost: kdf.time,
        parallelism: kdf.cpus,
        outputLen: keySizeBytes,
        salt: kdf.salt,
      });
  } catch (error) {
    debug('@node-rs/argon2 is not usable here: %s', (error as Error).message);
    return null;
  }
}

/** As Node 24 has it (crypto.argon2). */
type NodeArgon2 = (
  algorithm: Argon2['type'],
  parameters: {
    message: Uint8Array;
    nonce: Uint8Array;
    parallelism: number;
    tagLength: number;
    memory: number;
    passes: number;
  },
  callback: (error: Error | null, key: Buffer) => void,
) => void;

function deriveByNode(
  nodeArgon2: NodeArgon2,
  kdf: Argon2,
  passphrase: Uint8Array,
  keySizeBytes: number,
): Promise<Buffer> {
  const parameters = {
    message: passphrase,
    nonce: kdf.salt,
    parallelism: kdf.cpus,
    tagLength: keySizeBytes,
    memory: kdf.memoryKiB,
    passes: kdf.time,
  };
  return new Promise((resolve, reject) =>
    nodeArgon2(kdf.type, parameters, (error, key) => (error ? reject(error) : resolve(key))),
  );
}

/** Null for an older Node, and for one whose OpenSSL (before 3.2) lacks it. */
async function findNodes(): Promise<Derive | null> {
  const { argon2: nodeArgon2 } = crypto as { argon2?: NodeArgon2 };
  if (!nodeArgon2) return null;
  const derive: Derive = (...call) => deriveByNode(nodeArgon2, ...call);
  try {
    await derive(
      { type: 'argon2id', time: 1, memoryKiB: 8, cpus: 1, salt: Buffer.alloc(8) },
      Buffer.alloc(1),
      4,
    );
    return derive;
  } catch (error) {
    debug("Node's argon2 is not usable here: %s", (error as Error).message);
    return null;
  }
}

let found: Promise<Derive | null> | undefined;

/**
 * The key of `keySizeBytes` that `passphrase` gives, in a new Buffer.
 * Throws HEADER_CORRUPT for parameters that argon2 does not take, UNSUPPORTED where there is none on this machine.
 */
export async function deriveByArgon2(
  kdf: Argon2,
  passphrase: Uint8Array,
  keySizeBytes: number,
): Promise<Buffer> {
  found ??= findPackage().then((derive) => derive ?? findNodes());
  const derive = await found;
  if (!derive) {
    throw new LuksError(
      'UNSUPPORTED',
      `${kdf.type} cannot be computed here: package @node-rs/argon2 is missing or has no build for ` +
        `${process.platform}-${process.arch}; install it, run luksfuse with Node.js 24 or newer, ` +
        'or use a keyslot with pbkdf2',
    );
  }
  try {
    return await derive(kdf, passphrase, keySizeBytes);
  } catch (cause) {
    const costs = `time ${kdf.time}, memory ${kdf.memoryKiB} KiB, ${kdf.cpus} lanes`;
    throw new LuksError(
      'HEADER_CORRUPT',
      `${kdf.type} refuses its parameters (${costs}): ${(cause as Error).message}`,
      { cause },
    );
  }
}
