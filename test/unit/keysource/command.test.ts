import t from 'tap';
import { readCommandOutput } from '../../../lib/keysource/command.js';

t.test('a command that says too much and does not end is not waited for', async (t) => {
  const command = 'head -c 2000 /dev/zero; exec sleep 1000';
  await t.rejects(readCommandOutput(command, 'it', 1000), {
    code: 'BAD_ARGUMENT',
    message: /more than 1000 bytes/,
  });
});

t.test('what it says, and how it fails', async (t) => {
  t.equal((await readCommandOutput('printf key', 'it', 1000)).toString(), 'key');
  await t.rejects(readCommandOutput('exit 3', 'it', 1000), { message: /exit code 3/ });
});
