/**
 * test/RESULTS-WORLDS.md: what passed in each world when it last ran. A run of some worlds leaves the rows of the others.
 */
import fs from 'node:fs';
import path from 'node:path';
import { PROJECT_DIR } from '../kit/luksfuse.js';
import type { TapCount } from './tap-count.js';

export interface WorldResult extends TapCount {
  name: string;
  /** What the world said of itself. */
  versions: readonly string[];
  minutes: number;
}

const FILE = path.join(PROJECT_DIR, 'test/RESULTS-WORLDS.md');
const HEAD = `# Results in other worlds

Written by \`npm run worlds\`; \`npm run worlds -- NAME...\` renews these rows alone. What runs where: \`test/worlds/worlds.ts\`.

| world | date | versions | passed | failed | skipped | minutes |
|---|---|---|---|---|---|---|
`;

function encodeRow(result: WorldResult): string {
  const { name, versions, passed, failed, skipped, minutes } = result;
  const date = new Date().toISOString().slice(0, 10);
  return `| ${[name, date, versions.join('; '), passed, failed, skipped, minutes.toFixed(1)].join(' | ')} |`;
}

/** Puts the result in its row. The rows are in the order of `names`; those of worlds that are no more are dropped. */
export function recordResult(result: WorldResult, names: readonly string[]): void {
  const before = fs.existsSync(FILE) ? fs.readFileSync(FILE, 'utf8').split('\n') : [];
  const rows = names.flatMap((name) =>
    name === result.name ? encodeRow(result) : before.filter((line) => line.startsWith(`| ${name} |`)),
  );
  fs.writeFileSync(FILE, `${HEAD}${rows.join('\n')}\n`);
}
