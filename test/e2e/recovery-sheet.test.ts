import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { GpgHome } from '../support/gpg-home.ts';
import { ifThere } from '../support/if-there.ts';
import { lastLine, Program, runCommand, type ProgramName } from '../support/program.ts';
import { listFiles } from '../support/tree-compare.ts';
import { Workbench } from '../support/workbench.ts';

let bench: Workbench;
let gpg: GpgHome;
let sheet: string;
let lines: CommandLine[];

type CommandLine = { program: ProgramName; args: string[] };

beforeAll(async () => {
  gpg = new GpgHome();
  gpg.generateKey('admin@example.org', 'ed25519', '20d');
  bench = await Workbench.create('sheet', { receiverListens: true });
  fs.writeFileSync(path.join(bench.source, 'picture.jpg'), 'a picture');
  fs.writeFileSync(at('env.production'), 'SECRET_KEY_BASE=x\n');
  fs.writeFileSync(at('admin.asc'), gpg.run(['--armor', '--export']));
  fs.writeFileSync(at('private.asc'), gpg.run(['--armor', '--export-secret-keys']));
  await bench.agent.must(['recipient', 'add', at('admin.asc')]);
  await bench.agent.must(['folder', 'add', 'secrets', '--kind', 'sealed', '--path', at('env.production')]);
  const database = 'postgres://mastodon:s3cret@127.0.0.1:1/mastodon';
  await bench.agent.must(['folder', 'add', 'database', '--kind', 'sealed', '--postgres', database]);
  await bench.startPaired();
  await bench.settled();
});

afterAll(async () => {
  await bench.dispose();
  gpg.remove();
});

const at = (name: string): string => path.join(bench.directory, name);
const sha256 = (file: string): string => createHash('sha256').update(fs.readFileSync(file)).digest('hex');

/** What a person types from the sheet: lines of commands, put together where they go on behind a backslash. */
function commandLines(text: string): CommandLine[] {
  return [...text.replaceAll(/ \\\n\s*/g, ' ').matchAll(/^ {2}mastokeep-(agent|receiver) (.*)$/gm)].map(
    ([, program, rest = '']) => ({ program: program as ProgramName, args: rest.split(' ') }),
  );
}

function filledIn(args: readonly string[], invitation: string, to: string): string[] {
  const values = new Map([
    ['INVITATION', invitation],
    ['private.asc', at('private.asc')],
    ['/srv/restored', to],
  ]);
  return args.map((word) => values.get(word) ?? word);
}

function line(program: ProgramName, ...words: string[]): string[] {
  const found = lines.filter(
    (one) => one.program === program && words.every((word) => one.args.includes(word)),
  );
  expect(found, `${program} ${words.join(' ')} in\n${sheet}`).toHaveLength(1);
  return found[0]?.args ?? [];
}

it('status shows the keys and alarms about one that ends within 30 days; a new key begins a new epoch', async () => {
  const first = JSON.parse(
    await bench.agent.must(['dump', 'secrets', '--wait-copies', '1', '--json']),
  ) as Dump;
  const fingerprint = gpg.fingerprint('admin@example.org');
  const status = JSON.parse(await bench.agent.must(['status', '--json'])) as {
    sealing: { mode: string; recipients: { fingerprint: string }[] };
    alarms: { code: string; message: string }[];
  };
  expect(status.sealing).toMatchObject({ mode: 'recipients', recipients: [{ fingerprint }] });
  expect(status.alarms.filter(({ code }) => code === 'KEY_EXPIRING')).toEqual([
    expect.objectContaining({ message: expect.stringContaining(fingerprint) as string }),
  ]);
  expect(await bench.agent.must(['status'])).toContain(fingerprint);

  gpg.generateKey('second@example.org', 'rsa3072');
  fs.writeFileSync(at('second.asc'), gpg.run(['--armor', '--export', 'second@example.org']));
  // it takes effect in the running program
  await bench.agent.must(['recipient', 'add', at('second.asc')]);
  const after = JSON.parse(await bench.agent.must(['status', '--json'])) as typeof status;
  expect(after.sealing.recipients.map((one) => one.fingerprint).sort()).toEqual(
    [fingerprint, gpg.fingerprint('second@example.org')].sort(),
  );
  const second = JSON.parse(
    await bench.agent.must(['dump', 'secrets', '--wait-copies', '1', '--json']),
  ) as Dump;
  expect(second.versions[0]?.epoch).not.toBe(first.versions[0]?.epoch);
  expect(second.versions[0]?.newBytes).toBe(first.versions[0]?.newBytes);
});

it('nothing in the homes can be read by others but what is public and the configuration for its group', () => {
  // the programs run: what is listed may be gone
  const modeOf = (file: string): number => ifThere(() => fs.statSync(file).mode) ?? 0;
  const open = [bench.agent.home, bench.receiver.home].flatMap((home) =>
    listFiles(home)
      .filter((file) => (modeOf(path.join(home, file.path)) & 0o077) !== 0)
      .map((file) => file.path.replace(/[0-9A-F]{40}/, 'FINGERPRINT')),
  );
  expect([...new Set(open)].sort()).toEqual([
    'agent.yaml',
    'identity/cert.pem',
    'pid',
    'receiver.yaml',
    'recipients/FINGERPRINT.asc',
  ]);
});

type Dump = { versions: { epoch: string; newBytes: number }[] };

it('the sheet names everything that a restore needs, and nothing secret', async () => {
  sheet = await bench.agent.must(['recovery-sheet']);
  lines = commandLines(sheet);
  expect(sheet).toContain(bench.agentId);
  expect(sheet).toContain(await bench.receiver.id());
  expect(sheet).toContain('media (mirror)');
  expect(sheet).toContain(gpg.fingerprint('admin@example.org').slice(-4));
  expect(sheet).not.toContain('s3cret');
  const json = JSON.parse(await bench.agent.must(['recovery-sheet', '--json'])) as { text: string };
  expect(json.text).toBe(sheet);
});

it('its commands restore from a receiver that can be dialled', async () => {
  await bench.agent.stop();
  const invited = await bench.receiver.must(line('receiver', 'invite'));
  const to = at('restored-a');
  const restore = filledIn(line('agent', '--from', '--to'), lastLine(invited), to);
  const options = { env: { MASTOKEEP_HOME: at('new-server-a') } };
  const result = await runCommand('agent', restore, options);
  // the database was never dumped: everything else is there
  expect(result.stderr).not.toContain('USAGE');
  expectRestored(to);
});

it('its commands restore by listening for a receiver that dials', async () => {
  const to = at('restored-b');
  const restoring = new Program('agent', filledIn(line('agent', '--listen', '--to'), '', to), {
    env: { MASTOKEEP_HOME: at('new-server-b') },
  });
  onTestFinished(async () => {
    await restoring.kill();
  });
  const [invitation] = await restoring.said(/^mastokeep\d+-\S+$/m);
  await bench.receiver.must(filledIn(line('receiver', 'join'), invitation, to));
  await restoring.exited;
  expectRestored(to);
});

it('its command for the database is one that the program understands', async () => {
  const args = filledIn(line('agent', '--folder', '--pg-restore'), 'mastokeep1-nonsense', '');
  expect(args).toContain('database');
  const result = await runCommand('agent', args, {
    env: { MASTOKEEP_HOME: at('new-server-c'), PGHOST: at('no-server') },
  });
  // it gets as far as asking for the database server
  expect(result.stderr).toContain('error TARGET_UNUSABLE: the PostgreSQL server');
});

function expectRestored(to: string): void {
  expect(fs.readFileSync(path.join(to, 'media', 'picture.jpg'), 'utf8')).toBe('a picture');
  const secrets = fs
    .readdirSync(path.join(to, 'secrets'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('env.production'));
  expect(secrets).toHaveLength(1);
  expect(sha256(path.join(to, 'secrets', secrets[0] ?? ''))).toBe(sha256(at('env.production')));
}
