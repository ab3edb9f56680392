import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { createAgentProgram } from '../../../agent/cli/program.ts';
import { createReceiverProgram } from '../../../receiver/cli/program.ts';

/**
 * What scripts of other people rely on: arguments in order, and options with what they take. A trailing `...` may be
 * given several times, `[…]` left out. More may be added to the programs; nothing here may go or change.
 */
const agentContract = `
init --mastodon <DIR> --recipient <FILE.asc>... --passphrase-file <FILE> --listen <HOST:PORT> --advertise <HOST:PORT>... --yes --json
folder add <ID> --kind <KIND> --path <DIR>... --postgres <CONNSTRING> --postgres-exec <PREFIX> --command <CMD> --schedule <CRON> --ignore <PATTERN>... --json
recipient list --json
recipient add <FILE.asc> --json
recipient remove <KEY-ID> --json
run
id --json
invite --json
join <INVITATION> --json
pair <DEVICE-ID> --address <HOST:PORT>... --json
unpair <DEVICE-ID> --json
status --json
scan [FOLDER] --json
accept <FOLDER> --json
pause --for <DURATION> --json
resume --json
dump [FOLDER] --wait-copies <N> --pin <LABEL> --timeout <SECONDS> --json
wait --copies <N> --timeout <SECONDS> --json
restore --from <INVITATION|DEVICE-ID@HOST:PORT> --listen <HOST:PORT> --to <DIR> --agent <DEVICE-ID> --folder <ID>... --path <PATTERN>... --at <TIME|POINT> --dry-run --in-place --owner <WHICH> --key <PRIVATE.asc> --key-passphrase-file <FILE> --passphrase-file <FILE> --pg-restore <CONNSTRING> --jobs <N> --scratch <DIR> --json
points --from <INVITATION|DEVICE-ID@HOST:PORT> --listen <HOST:PORT> --agent <DEVICE-ID> --json
config check --json
config show --json
reload --json
`;
const receiverContract = `
init --data <DIR> --listen <HOST:PORT> --yes --json
join <INVITATION> --agent <DEVICE-ID> --json
pair <DEVICE-ID> --address <HOST:PORT>... --role <ROLE> --agent <DEVICE-ID> --json
unpair <DEVICE-ID> --json
invite --role <ROLE> --agent <DEVICE-ID> --json
run
id --json
status --json
versions <FOLDER> <PATH> --agent <DEVICE-ID> --json
points --agent <DEVICE-ID> --json
pin <POINT> <LABEL> --json
unpin <POINT> --json
forget <POINT> --dry-run --yes --json
succeed <OLD-ID> <NEW-ID> --json
reindex --json
config check --json
config show --json
reload --json
`;

describe.each([
  ['mastokeep-agent', createAgentProgram, agentContract],
  ['mastokeep-receiver', createReceiverProgram, receiverContract],
])('%s', (name, create, contract) => {
  it.each(contract.trim().split('\n'))('has the command %s', (line) => {
    const [words = '', ...options] = line.split(/ (?=--)/);
    const names = words.split(' ');
    const given = names.filter((word) => !/^[<[]/.test(word));
    const command = given.reduce<Command | undefined>(
      (found, word) => found?.commands.find((each) => each.name() === word),
      create(),
    );
    const expected = names.slice(given.length);
    const args = command?.registeredArguments ?? [];
    expect(args.slice(0, expected.length).map((argument) => argument.name())).toEqual(
      expected.map((argument) => argument.slice(1, -1)),
    );
    // What a script may leave out stays so, and nothing more is asked of it.
    for (const [place, { required }] of args.entries()) if (required) expect(expected[place]).toMatch(/^</);
    expect(optionsOf(command)).toEqual(expect.arrayContaining(options));
  });

  it('takes --home everywhere, and says what it is where it is not given', () => {
    const program = create();
    expect(program.name()).toBe(name);
    const home = program.options.find(({ long }) => long === '--home');
    expect(home?.flags).toBe('--home <DIR>');
    expect(home?.description).toContain(`$MASTOKEEP_HOME or /var/lib/${name}`);
  });
});

it.each([
  // a conversation, whose result is its exit code
  ['agent', createAgentProgram, ['recipient prove', 'run']],
  ['receiver', createReceiverProgram, ['run']],
])('lets every command of the %s that reports print JSON', (_name, create, without) => {
  const leaves = (command: Command, name = ''): [string, Command][] =>
    command.commands.length === 0
      ? [[name, command]]
      : command.commands.flatMap((each) => leaves(each, `${name} ${each.name()}`.trim()));
  const silent = leaves(create()).filter(([, { options }]) => !options.some(({ long }) => long === '--json'));
  expect(silent.map(([name]) => name)).toEqual(without);
});

it('has the defaults that scripts count on', () => {
  const defaultOf = (command: string, long: string): unknown =>
    createAgentProgram()
      .commands.find((each) => each.name() === command)
      ?.options.find((option) => option.long === long)?.defaultValue;
  expect(defaultOf('wait', '--copies')).toBe(1);
  expect(defaultOf('wait', '--timeout')).toBe(3600);
  expect(defaultOf('dump', '--timeout')).toBe(3600);
  expect(defaultOf('restore', '--at')).toBe('latest');
});

/** `...` where the second value is kept beside the first. */
function optionsOf(command: Command | undefined): string[] {
  return (command?.options ?? []).map(({ flags, parseArg }) => {
    const isRepeatable = Array.isArray(parseArg === undefined ? null : tryTwice(parseArg));
    return `${flags}${isRepeatable ? '...' : ''}`;
  });
}

function tryTwice(parseArg: (value: string, previous: unknown) => unknown): unknown {
  try {
    return parseArg('2', parseArg('1', undefined));
  } catch {
    return null; // it takes other values
  }
}
