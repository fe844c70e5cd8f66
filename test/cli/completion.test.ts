import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { mustLuksfuse } from '../kit/luksfuse.js';
import { run } from '../kit/run.js';

async function script(shell: string): Promise<string> {
  return (await mustLuksfuse(['completion', shell])).stdout.toString();
}

t.test('bash completes commands, subcommands and options', async (t) => {
  const file = path.join(t.testdir(), 'completion.bash');
  fs.writeFileSync(file, await script('bash'));
  const complete = async (...typed: string[]) => {
    const words = ['luksfuse', ...typed].map((word) => `'${word}'`).join(' ');
    const body = `. ${file}; COMP_WORDS=(${words}); COMP_CWORD=${typed.length}; _luksfuse; echo "\${COMPREPLY[@]}"`;
    const { code, stdout, stderr } = await run('bash', ['-c', body]);
    t.equal(code, 0, stderr.toString());
    return stdout.toString().trim().split(' ');
  };
  t.same(await complete('mou'), ['mount']);
  t.ok((await complete('')).includes('luksFormat'), 'aliases too');
  t.same(await complete('token', 'exp'), ['export']);
  t.same(await complete('mount', '--read'), ['--read-only']);
  t.same(await complete('token', 'import', '--json-'), ['--json-file']);
});

t.test('zsh and fish get every command', async (t) => {
  for (const shell of ['zsh', 'fish']) {
    const text = await script(shell);
    for (const name of ['mount', 'umount', 'header-restore', 'import', 'volume-key-file'])
      t.match(text, name, shell);
  }
});
