/** Has this thread transfer through node:fs alone, so that a test which replaces its functions sees every call. */
import { requireKernel } from '../../lib/crypto/kernel.js';
import { pinMemory } from '../../lib/native/transfer.js';

/** For good, or until the function returned is called. */
export function transferThroughNode(): () => void {
  const { buffer: memory } = requireKernel().bytes;
  pinMemory(new ArrayBuffer(4096));
  return () => pinMemory(memory);
}
