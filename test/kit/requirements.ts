/**
 * What a test needs of the machine. A developer's machine may lack it, and the test is skipped with the
 * reason; where REQUIRE_ALL=1 is set, as in continuous integration, a lack is a failure.
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { findGuestKernel } from './guest-kernel.js';
import { TOOL_PATH } from './run.js';

export interface Requirements {
  root?: boolean;
  /** /dev/fuse can be opened. */
  fuse?: boolean;
  /** The package fuse-native and libfuse 2 are there. */
  fuseNative?: boolean;
  /** Loop devices can be set up. */
  loop?: boolean;
  /** A guest can be booted (guest.ts). */
  guest?: boolean;
  /** Programs by name. */
  tools?: readonly string[];
}

function isOpenable(file: string): boolean {
  try {
    fs.closeSync(fs.openSync(file, 'r+'));
    return true;
  } catch {
    return false;
  }
}

function isLoadable(name: string): boolean {
  try {
    createRequire(import.meta.url)(name);
    return true;
  } catch {
    return false;
  }
}

function isInstalled(tool: string): boolean {
  return TOOL_PATH.split(':').some((dir) => fs.existsSync(path.join(dir, tool)));
}

const GUEST_TOOLS = ['qemu-system-x86_64', 'setpriv', 'busybox', 'ldd'];

function findGuestLack(): string | null {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'the guest runs x86-64 Linux programs';
  return findGuestKernel() ? null : 'no kernel for a guest; test/kit/fetch-guest-kernel.sh fetches it';
}

function findLack(needs: Requirements): string | null {
  if (needs.root && process.getuid?.() !== 0) return 'this test must be run as root';
  if (needs.fuse && !isOpenable('/dev/fuse')) return '/dev/fuse cannot be opened';
  if (needs.fuseNative && !isLoadable('fuse-native'))
    return 'fuse-native cannot be loaded; it needs libfuse2';
  if (needs.loop && !isOpenable('/dev/loop-control')) return '/dev/loop-control cannot be opened';
  const tools = [...(needs.tools ?? []), ...(needs.guest ? GUEST_TOOLS : [])];
  const missing = tools.filter((tool) => !isInstalled(tool));
  if (missing.length > 0) return `not installed: ${missing.join(', ')}`;
  return needs.guest ? findGuestLack() : null;
}

/** The value for tap's `skip` option: the reason, or false where everything is there. */
export function skipUnless(needs: Requirements): string | false {
  const lack = findLack(needs);
  if (lack && process.env.REQUIRE_ALL === '1') throw new Error(`REQUIRE_ALL=1, and ${lack}`);
  return lack ?? false;
}
