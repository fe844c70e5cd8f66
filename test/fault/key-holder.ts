/**
 * A process that uses keys and then stays as it is, so that its memory can be searched: it opens and closes a volume by
 * the library, or runs a command of the program. Its arguments are paths; it answers each message when it is done.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { wipe } from '../../lib/bytes.js';
import { main } from '../../lib/cli/main.js';
import { readKeySource } from '../../lib/keysource/source.js';
import { openVolume } from '../../lib/volume/open.js';
import type { Volume } from '../../lib/volume/volume.js';

export type HolderRequest =
  | { open: { payload: string; headerPath: string; keyFile: string } }
  | { close: true }
  | { command: string[] };

let volume: Volume | null = null;

async function serve(request: HolderRequest): Promise<void> {
  if ('command' in request) {
    await main(['node', 'luksfuse', ...request.command]);
  } else if ('open' in request) {
    const { payload, headerPath, keyFile } = request.open;
    const passphrase = await readKeySource({ file: keyFile }, 'test');
    try {
      volume = await openVolume(payload, { passphrase }, { headerPath });
    } finally {
      wipe(passphrase);
    }
    volume.read(Buffer.alloc(65536), 100);
    volume.write(Buffer.alloc(1000), 5000);
  } else {
    volume?.close();
  }
}

process.on('message', async (request: HolderRequest) => {
  await serve(request);
  // Node frees its copy of what was hashed only after it has called back, which may be where we still are.
  await nextTurn();
  process.send!({ exitCode: process.exitCode ?? 0 });
});
