/**
 * The program: its commands, and the only place where an error becomes a message and an exit code.
 */
import { Command, CommanderError } from 'commander';
import { isSystemError, LuksError } from '../errors.js';
import { makeProcessUndumpable } from '../native/memory.js';
import { addCommands } from './commands.js';
import { expandCommandLine } from './mount-options.js';
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
  command.exitOverride().configureOutput({ writeErr: () => {} });
  command.commands.forEach(silence);
  return command;
}

interface Failure {
  code: string;
  message: string;
  exitCode: number;
}

function describeFailure(error: unknown): Failure {
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
  // --help and --version come as errors that carry 0.
  if (error instanceof CommanderError && error.exitCode === 0) return;
  const { code, message, exitCode } = describeFailure(error);
  const command = argv.slice(2).find((word) => !word.startsWith('-'));
  const text = argv.includes('--json')
    ? JSON.stringify({ error: { code, message } })
    : `luksfuse: ${command ? `${command}: ` : ''}${message}`;
  process.stderr.write(`${text}\n`);
  process.exitCode = exitCode;
}

/** Runs the program with a command line as in `process.argv`. Never throws. */
export async function main(argv: string[]): Promise<void> {
  makeProcessUndumpable();
  try {
    const commandLine = expandCommandLine(argv);
    if (!commandLine) return;
    const program = await createProgram(commandLine.slice(2));
    if (commandLine.length <= 2) program.outputHelp();
    else await program.parseAsync(commandLine);
  } catch (error) {
    report(error, argv);
  }
}
