/**
 * `luksfuse completion bash|zsh|fish`: completion scripts, made from the commands themselves so that they cannot
 * fall behind.
 */
import { Argument, type Command } from 'commander';
import { print } from './output.js';

interface Entry {
  /** `token list` */
  path: string;
  description: string;
  options: { flags: string[]; description: string; takesValue: boolean }[];
}

/** Every command that can be typed, aliases as well. */
function listEntries(parent: Command, prefix = ''): Entry[] {
  return parent.commands.flatMap((command) => {
    const options = [...command.options.filter(({ hidden }) => !hidden)].map((option) => ({
      flags: [option.short, option.long].filter((flag) => flag !== undefined && flag !== null),
      description: option.description,
      takesValue: option.required || option.optional,
    }));
    const description = command.description();
    const own = [command.name(), ...command.aliases()].map((name) => ({
      path: prefix + name,
      description,
      options,
    }));
    return [...own, ...listEntries(command, `${prefix}${command.name()} `)];
  });
}

const words = (entries: Entry[], prefix: string): string =>
  entries
    .filter(({ path }) => path.startsWith(prefix) && !path.slice(prefix.length).includes(' '))
    .map(({ path }) => path.slice(prefix.length))
    .join(' ');

function bash(entries: Entry[]): string {
  const cases = entries.map(({ path, options }) => {
    const flags = options.flatMap((option) => option.flags).join(' ');
    const nested = words(entries, `${path} `);
    return `    '${path}') words='${[nested, flags].filter(Boolean).join(' ')}' ;;`;
  });
  return `_luksfuse() {
  local cur=\${COMP_WORDS[COMP_CWORD]} path='' words='' word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) continue ;; esac
    case "$path" in '') path=$word ;; token) path="token $word" ;; esac
  done
  case "$path" in
    '') words='${words(entries, '')}' ;;
${cases.join('\n')}
  esac
  case "$path:$cur" in
    :* | token:* | *:-*) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur") ;;
    *) compopt -o default ;;
  esac
}
complete -F _luksfuse luksfuse`;
}

/** Single quotes for zsh and fish alike. */
const quote = (text: string): string => `'${text.replace(/'/g, "'\\''")}'`;

function zsh(entries: Entry[]): string {
  const top = entries.filter(({ path }) => !path.includes(' '));
  const commands = top.map(
    ({ path, description }) => `    ${quote(`${path}:${description.replace(/:/g, ' ')}`)}`,
  );
  const cases = entries.map(({ path, options }) => {
    const specs = options.map(({ flags, description, takesValue }) => {
      const about = description.replace(/[[\]:]/g, ' ');
      return flags.map((flag) => quote(`${flag}[${about}]${takesValue ? ':value:_files' : ''}`)).join(' ');
    });
    return `    ${quote(path)}) _arguments ${specs.join(' ')} '*:file:_files' ;;`;
  });
  return `#compdef luksfuse
_luksfuse() {
  local -a commands=(
${commands.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local name=$words[2]
  if [[ $name == token ]]; then
    if (( CURRENT == 3 )); then
      compadd ${words(entries, 'token ')}
      return
    fi
    name="token $words[3]"
    shift words
    (( CURRENT-- ))
  fi
  shift words
  (( CURRENT-- ))
  case $name in
${cases.join('\n')}
  esac
}
# As a file of $fpath it is first loaded by the completion that needs it.
if [[ $funcstack[1] == _luksfuse ]]; then _luksfuse "$@"; else compdef _luksfuse luksfuse; fi`;
}

function fish(entries: Entry[]): string {
  const lines = entries.flatMap(({ path, description, options }) => {
    const [first, second] = path.split(' ');
    const inside = second
      ? `__fish_seen_subcommand_from ${first}; and __fish_seen_subcommand_from ${second}`
      : `__fish_seen_subcommand_from ${first}`;
    const before = second
      ? `__fish_seen_subcommand_from ${first}; and not __fish_seen_subcommand_from ${words(entries, `${first} `)}`
      : '__fish_use_subcommand';
    const offer = `complete -c luksfuse -f -n ${quote(before)} -a ${second ?? first} -d ${quote(description)}`;
    const flags = options.map((option) => {
      const names = option.flags.map((flag) =>
        flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
      );
      const value = option.takesValue ? ' -r' : '';
      return `complete -c luksfuse -n ${quote(inside)} ${names.join(' ')}${value} -d ${quote(option.description)}`;
    });
    return [offer, ...flags];
  });
  return lines.join('\n');
}

const SHELLS = { bash, zsh, fish };

export function addCompletionCommand(program: Command): void {
  program
    .command('completion')
    .description('a completion script, to be sourced by the shell')
    .addArgument(new Argument('<shell>', 'which shell').choices(Object.keys(SHELLS)))
    .action((shell: keyof typeof SHELLS) => print(SHELLS[shell](listEntries(program))));
}
