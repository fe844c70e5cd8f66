/**
 * Loaded before the program, asks for a package that is not installed with it, as koffi does for its parts on a machine that
 * it has none for.
 */
import { createRequire } from 'node:module';

try {
  createRequire(import.meta.url)('luksfuse-test-missing');
} catch {
  // It is nowhere.
}
