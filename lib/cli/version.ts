/**
 * The version in package.json, which lies three folders above the compiled module.
 */
import fs from 'node:fs';

const packageJson = JSON.parse(fs.readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));

export const VERSION: string = packageJson.version;
