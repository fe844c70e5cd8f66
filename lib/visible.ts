/**
 * Text that may come from a header, a path or another user's mount, made harmless: what would steer a terminal is shown as
 * its code.
 */
import createDebug from 'debug';

/** Controls but tab and newline (C0, DEL, C1), and what turns the direction of text. Legal in JSON too, as it is shown. */
export function visible(text: string): string {
  return text.replace(
    /[^\P{Cc}\t\n]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Has this process's traces made so, before they are given their colours. */
export function filterTraces(): void {
  const { formatArgs } = createDebug;
  createDebug.formatArgs = function (this: createDebug.Debugger, args: unknown[]) {
    for (const [index, arg] of args.entries()) if (typeof arg === 'string') args[index] = visible(arg);
    formatArgs.call(this, args);
  };
}
