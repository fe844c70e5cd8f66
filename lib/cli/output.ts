/**
 * What commands print on standard output, for people or with --json, and the options that nearly all share.
 */
import type { Command } from 'commander';

export interface JsonOption {
  json?: boolean;
}

export function addJsonOption(command: Command): Command {
  return command.option('--json', 'print one JSON document');
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** The document with --json, else the text; an empty text prints nothing. */
export function printResult(options: JsonOption, document: object, text: string): void {
  if (options.json) print(JSON.stringify(document, null, 2));
  else if (text !== '') print(text);
}
