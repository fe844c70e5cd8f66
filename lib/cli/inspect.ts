/**
 * The commands that only look at a header: uuid, is-luks, dump, test-key.
 */
import type { Command } from 'commander';
import { LuksError } from '../errors.js';
import { describeHeader, headerText } from '../format/describe.js';
import { isLuks } from '../format/header.js';
import { unlockWith } from './credential.js';
import {
  addCredentialOptions,
  type CredentialOptions,
  checkCredentialOptions,
} from './credential-options.js';
import { addHeaderOptions, type HeaderOptions, locateNamed, openHeader, withArgument } from './header.js';
import { addJsonOption, type JsonOption, printResult } from './output.js';

async function uuid(argument: string | undefined, options: HeaderOptions & JsonOption): Promise<void> {
  const { device, header } = await locateNamed(argument, options);
  device.close();
  printResult(options, { uuid: header.uuid }, header.uuid);
}

/** Like cryptsetup's isLuks it prints nothing; the exit code is the answer. */
async function answerIsLuks(path: string, options: JsonOption): Promise<void> {
  const device = (await openHeader({ header: path }))!;
  try {
    const answer = isLuks(device);
    printResult(options, { isLuks: answer }, '');
    if (!answer) process.exitCode = new LuksError('NOT_LUKS', path).exitCode;
  } finally {
    device.close();
  }
}

async function dump(argument: string | undefined, options: HeaderOptions & JsonOption): Promise<void> {
  const { device, header } = await locateNamed(argument, options);
  device.close();
  printResult(options, describeHeader(header), headerText(header));
}

async function testKey(
  argument: string | undefined,
  givenOptions: CredentialOptions & JsonOption,
): Promise<void> {
  const options = withArgument(argument, givenOptions);
  checkCredentialOptions(options); // again: the argument may be the header
  const located = await locateNamed(undefined, options);
  try {
    const { keyslot, volumeKey } = await unlockWith(located, options);
    volumeKey.destroy();
    printResult(
      options,
      { keyslot },
      keyslot === null ? 'The volume key fits.' : `Keyslot ${keyslot} opens.`,
    );
  } finally {
    located.device.close();
  }
}

export function addInspectCommands(program: Command): void {
  addJsonOption(addHeaderOptions(program.command('dump [header]').alias('luksDump')))
    .description('show all metadata and a drawing of the layout')
    .action(dump);

  addCredentialOptions(addJsonOption(addHeaderOptions(program.command('test-key [header]'))))
    .description('unlock only, and print which keyslot opened')
    .action(testKey);

  addJsonOption(addHeaderOptions(program.command('uuid [header]').alias('luksUUID')))
    .description('print the UUID')
    .action(uuid);

  addJsonOption(program.command('is-luks <file>').alias('isLuks'))
    .description('exit 0 if the file carries a LUKS header, else 4')
    .action(answerIsLuks);
}
