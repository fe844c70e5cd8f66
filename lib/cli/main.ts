/**
 * The program: its commands, and the only place where an error becomes a message and an exit code.
 */
import { Command, CommanderError } from 'commander';
import { isSystemError, LuksError } from '../errors.js';
import { readArguments, useRawNames } from '../native/raw-names.js';
import { requireNoDebugger, shieldProcess } from '../native/shield.js';
import { filterTraces } from '../visible.js';
import { addCommands } from './commands.js';
import { expandCommandLine } from './mount-options.js';
import { print, ReaderGone, tell } from './output.js';
import { Interrupted } from './terminal.js';
import { VERSION } from './version.js';

const EXIT_BAD_ARGUMENT = 1;
const EXIT_FAILED = 4;

/** `<payload> [file]` */
function argumentsOf(command: Command): string {
  return command.registeredArguments
    .map((argument) => (argument.required ? `<${argument.name()}>` : `[${argument.name()}]`))
    .join(' ');
}

/** With the commands that these words may mean. */
async function createProgram(words: readonly string[]): Promise<Command> {
  const program = new Command('luksfuse')
    .description('LUKS in userspace: mount the plaintext of a LUKS1 or LUKS2 volume as one file')
    .version(VERSION)
    .configureHelp({ subcommandTerm: (command) => [command.name(), argumentsOf(command)].join(' ').trim() })
    .helpCommand(false);
  await addCommands(program, words);
  return silence(program);
}

/** Errors are thrown and reported in one place, not printed by each command. */
function silence(command: Command): Command {
  command.exitOverride().configureOutput({ writeErr: () => {}, writeOut: (text) => print(text.trimEnd()) });
  command.commands.forEach(silence);
  return command;
}

interface Failure {
  code: string;
  message: string;
  exitCode: number;
}

/** What V8 throws where the machine, or a limit (ulimit -v), has no more memory. */
function isOutOfMemory(error: unknown): error is RangeError {
  return error instanceof RangeError && /allocat/i.test(error.message);
}

function describeFailure(error: unknown): Failure {
  if (isOutOfMemory(error)) {
    const message = `not enough memory (${error.message}); free some, or raise the limit (ulimit -v, the container's)`;
    return describeFailure(new LuksError('NO_MEMORY', message, { cause: error }));
  }
  if (error instanceof LuksError)
    return { code: error.code, message: error.message, exitCode: error.exitCode };
  if (error instanceof CommanderError) {
    // What commander throws to have a command's help shown where one of its own commands is missing.
    const isHelp = error.code === 'commander.help';
    const message = isHelp ? 'which of its commands is not said' : error.message.replace(/^error: /, '');
    return { code: 'BAD_ARGUMENT', message: `${message}; see --help`, exitCode: EXIT_BAD_ARGUMENT };
  }
  if (isSystemError(error)) return { code: 'DEVICE_IO', message: error.message, exitCode: EXIT_FAILED };
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: 'INTERNAL', message: `a fault in luksfuse itself: ${message}`, exitCode: EXIT_FAILED };
}

/** Prints `luksfuse: <command>: <why>; <what to do>`, or a JSON document with --json, and sets the exit code. */
function report(error: unknown, argv: string[]): void {
  if (error instanceof Interrupted) {
    process.exitCode = error.exitCode;
    return;
  }
  if (error instanceof ReaderGone) return;
  // --help and --version come as errors that carry 0.
  if (error instanceof CommanderError && error.exitCode === 0) return;
  const { code, message, exitCode } = describeFailure(error);
  const command = argv.slice(2).find((word) => !word.startsWith('-'));
  const text = argv.includes('--json')
    ? JSON.stringify({ error: { code, message } })
    : `luksfuse: ${command ? `${command}: ` : ''}${message}`;
  tell(text);
  process.exitCode = exitCode;
}

/** Nothing is left to wait for, but a promise is: without this Node would end with success. */
function failUnfinished(): void {
  tell('luksfuse: a fault in luksfuse itself: it waited for what cannot come; please report it');
  process.exitCode = EXIT_FAILED;
}

/** Runs the program with a command line as in `process.argv`. Never throws. */
export async function main(argv: string[]): Promise<void> {
  shieldProcess();
  useRawNames();
  filterTraces();
  process.once('exit', failUnfinished);
  try {
    const commandLine = expandCommandLine(readArguments(argv));
    if (!commandLine) return;
    const program = await createProgram(commandLine.slice(2));
    await requireNoDebugger();
    if (commandLine.length <= 2) program.outputHelp();
    else await program.parseAsync(commandLine);
  } catch (error) {
    report(error, argv);
  }
  process.off('exit', failUnfinished);
}
