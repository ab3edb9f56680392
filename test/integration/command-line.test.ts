import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { until } from '../support/until.ts';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { homeAt } from '../../shared/io/home.ts';
import { lockHome } from '../../shared/io/home-lock.ts';
import { runCommand, type CommandResult, type ProgramName } from '../support/program.ts';

let scratch: string;

beforeEach(() => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-cli-'));
});

afterEach(() => {
  fs.rmSync(scratch, { recursive: true, force: true });
});

const at = (...names: string[]): string => path.join(scratch, ...names);

async function agent(...args: string[]): Promise<CommandResult> {
  return runCommand('agent', ['--home', at('agent'), ...args]);
}

async function receiver(...args: string[]): Promise<CommandResult> {
  return runCommand('receiver', ['--home', at('receiver'), ...args]);
}

function expectError(result: CommandResult, code: string, exitCode: number): void {
  expect(result.stderr).toMatch(new RegExp(`^error ${code}: [^\\n]+\\n( {2}[^\\n]+\\n)*$`));
  expect(result.stdout).toBe('');
  expect(result.code).toBe(exitCode);
}

it('keeps its exit code where nobody reads what it says', async () => {
  const program = [process.execPath, path.resolve(import.meta.dirname, '../../agent/main.ts')];
  const shell = spawn(
    'bash',
    ['-c', '"$@" 2> >(exec 0<&-) >&2; exit $?', 'bash', ...program, '--home', at('agent'), 'nonsense'],
    { stdio: 'ignore' },
  );
  expect(await once(shell, 'exit')).toEqual([2, null]);
});

it.each([
  ['ends well', '', 0],
  ['fails', "throw new Error('in the end');", 1],
])('gives all of a long output to a pipe before it %s', async (_name, last, exitCode) => {
  const entry = pathToFileURL(path.resolve(import.meta.dirname, '../../shared/cli/run-program.ts')).href;
  const script = `
    import { createProgram, runProgram } from ${JSON.stringify(entry)};
    const program = createProgram('name', 'description', '/home');
    program.command('print').action(() => { process.stdout.write('x'.repeat(5_000_000)); ${last} });
    await runProgram(program, ['node', 'name', 'print']);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script]);
  let length = 0;
  child.stdout.on('data', (bytes: Buffer) => (length += bytes.length));
  const [code] = (await once(child, 'close')) as [number];
  expect([length, code]).toEqual([5_000_000, exitCode]);
});

describe.each<ProgramName>(['agent', 'receiver'])('usage of %s', (name) => {
  it.each([
    [['nonsense'], 'USAGE'],
    [['status', '--nonsense'], 'USAGE'],
    [['join'], 'USAGE'],
    [['status', 'too', 'many'], 'USAGE'],
    [['status'], 'HOME_INVALID'],
    [['run'], 'HOME_INVALID'],
  ])('%j ends with 2 and one coded error', async (args, code) => {
    expectError(await runCommand(name, ['--home', at('none'), ...args]), code, 2);
  });

  it.each([[[]], [['config']]])(
    'without a command, as in %j, ends with 2 and says which there are',
    async (args) => {
      const result = await runCommand(name, args);
      expect(result).toMatchObject({ code: 2, stdout: '' });
      expect(result.stderr).toMatch(/^Usage: mastokeep-/);
      expect(result.stderr).toContain('Commands:');
    },
  );

  it('prints version and help on stdout with 0', async () => {
    expect(await runCommand(name, ['--version'])).toEqual({ code: 0, stdout: '0.1.0\n', stderr: '' });
    const help = await runCommand(name, ['status', '--help']);
    expect(help.stdout).toContain('--json');
    expect(help).toMatchObject({ code: 0, stderr: '' });
  });

  it('says that it needs the running program, and how to start it', async () => {
    const args = name === 'agent' ? ['init', '--yes'] : ['init', '--yes', '--data', at('data')];
    expect(await runCommand(name, ['--home', at('home'), ...args])).toMatchObject({ code: 0 });
    const result = await runCommand(name, ['--home', at('home'), 'status', '--json']);
    expectError(result, 'NOT_RUNNING', 1);
    expect(result.stderr).toContain(`mastokeep-${name} --home ${at('home')} run`);
  });

  it('takes the home from the environment too, the option first', async () => {
    const args = name === 'agent' ? ['init', '--yes'] : ['init', '--yes', '--data', at('data')];
    const env = { MASTOKEEP_HOME: at('from-environment') };
    expect(await runCommand(name, args, { env })).toMatchObject({ code: 0 });
    expect(fs.existsSync(at('from-environment', `${name}.yaml`))).toBe(true);
    expectError(await runCommand(name, ['id', '--home', at('other')], { env }), 'HOME_INVALID', 2);
  });
});

describe('init of an agent', () => {
  it('makes a private home once and never overwrites it', async () => {
    const first = await agent('init', '--json');
    const made = JSON.parse(first.stdout) as { deviceId: string };
    expect((await agent('id')).stdout).toBe(`${made.deviceId}\n`);
    expect(fs.statSync(at('agent')).mode & 0o777).toBe(0o700);
    expect(fs.statSync(at('agent', 'identity', 'key.pem')).mode & 0o777).toBe(0o600);
    const before = fs.readFileSync(at('agent', 'agent.yaml'), 'utf8');
    expectError(await agent('init', '--yes', '--listen', '127.0.0.1:1'), 'HOME_INVALID', 2);
    expect(fs.readFileSync(at('agent', 'agent.yaml'), 'utf8')).toBe(before);
    expect((await agent('id')).stdout).toBe(`${made.deviceId}\n`);
  });

  it('fails beside another one on the same home, and takes nothing of it away', async () => {
    fs.mkdirSync(at('agent'), { mode: 0o700 });
    const other = lockHome(homeAt(at('agent'), 'agent.yaml'), 'mastokeep-agent init', 0);
    try {
      fs.mkdirSync(at('agent', 'identity'));
      fs.writeFileSync(at('agent', 'identity', 'cert.pem'), 'half made by the other');
      const result = await agent('init', '--yes');
      expectError(result, 'ALREADY_RUNNING', 1);
      expect(result.stderr).toContain('mastokeep-agent init already runs on');
      expect(fs.readdirSync(at('agent', 'identity'))).toEqual(['cert.pem']);
    } finally {
      other.release();
    }
    expect(fs.existsSync(at('agent', 'agent.yaml'))).toBe(false);
  });

  it('that are begun at once on one home make one home, whole', async () => {
    const results = await Promise.all(Array.from({ length: 4 }, () => agent('init', '--yes', '--json')));
    const made = results.filter(({ code }) => code === 0);
    expect(made).toHaveLength(1);
    for (const { code, stderr } of results) {
      if (code !== 0) expect(stderr).toMatch(/^error (ALREADY_RUNNING|HOME_INVALID): /);
    }
    const { deviceId } = JSON.parse(made[0]?.stdout ?? '') as { deviceId: string };
    expect((await agent('id')).stdout).toBe(`${deviceId}\n`);
    expect(await agent('recovery-sheet')).toMatchObject({ code: 0 });
  });

  it('says what to do with a home that a killed init left with an identity alone', async () => {
    await agent('init', '--yes');
    fs.rmSync(at('agent', 'agent.yaml'));
    const result = await agent('init', '--yes');
    expectError(result, 'HOME_INVALID', 2);
    expect(result.stderr).toContain(`remove ${at('agent', 'identity')} and run init again`);
    fs.rmSync(at('agent', 'identity'), { recursive: true });
    expect(await agent('init', '--yes')).toMatchObject({ code: 0 });
  });

  it('replicates the media of a Mastodon installation without caches and user archives', async () => {
    fs.mkdirSync(at('live', 'public', 'system'), { recursive: true });
    expect(await agent('init', '--mastodon', at('live'), '--listen', '127.0.0.1:2222')).toMatchObject({
      code: 0,
    });
    const shown = await agent('config', 'show', '--json');
    expect(JSON.parse(shown.stdout)).toMatchObject({
      listen: ['127.0.0.1:2222'],
      folders: [
        {
          id: 'media',
          kind: 'mirror',
          path: at('live', 'public', 'system'),
          ignore: ['/cache/', '/backups/', '/imports/'],
        },
      ],
    });
  });

  it('refuses what is not a Mastodon installation, and makes nothing', async () => {
    expectError(await agent('init', '--mastodon', at()), 'CONFIG_INVALID', 2);
    expect(fs.existsSync(at('agent'))).toBe(false);
    fs.mkdirSync(at('media_attachments'));
    const result = await agent('init', '--mastodon', at());
    expect(result.stderr).toContain(`folder add media --kind mirror --path ${at()}`);
  });

  it('tells what to keep on paper and what to do next', async () => {
    const { stdout } = await agent('init');
    for (const words of ['device ID', 'folder add', 'run', 'invite']) expect(stdout).toContain(words);
  });
});

it('refuses a pause of no time', async () => {
  await agent('init', '--yes');
  expectError(await agent('pause', '--for', '0s'), 'USAGE', 2);
  expect((await agent('resume', '--json')).stdout).toContain('false');
});

describe('init of a receiver', () => {
  it('asks nothing without a terminal, but says what is missing', async () => {
    expectError(await receiver('init'), 'USAGE', 2);
    expect(fs.existsSync(at('receiver'))).toBe(false);
  });

  it('makes a home and the directory for the copies', async () => {
    expect(await receiver('init', '--data', at('data'), '--listen', '127.0.0.1:0')).toMatchObject({
      code: 0,
    });
    expect(fs.statSync(at('data')).isDirectory()).toBe(true);
    expect(JSON.parse((await receiver('config', 'show', '--json')).stdout)).toMatchObject({
      data: at('data'),
      listen: ['127.0.0.1:0'],
    });
  });
});

describe('folder add', () => {
  it('adds a folder and keeps the comments of the file', async () => {
    await agent('init', '--yes');
    fs.mkdirSync(at('tree'));
    const before = fs.readFileSync(at('agent', 'agent.yaml'), 'utf8');
    const added = await agent(
      'folder',
      'add',
      'extra',
      '--kind',
      'mirror',
      '--path',
      at('tree'),
      '--ignore',
      '*.tmp',
    );
    expect(added).toMatchObject({ code: 0, stderr: '' });
    const after = fs.readFileSync(at('agent', 'agent.yaml'), 'utf8');
    const comments = (text: string): string[] =>
      text.split('\n').filter((line) => line.trim().startsWith('#'));
    expect(comments(after)).toEqual(comments(before));
    expect(JSON.parse((await agent('config', 'show', '--json')).stdout)).toMatchObject({
      folders: [{ id: 'extra', kind: 'mirror', path: at('tree'), ignore: ['*.tmp'] }],
    });
    expectError(
      await agent('folder', 'add', 'extra', '--kind', 'mirror', '--path', at('tree')),
      'CONFIG_INVALID',
      2,
    );
  });

  it.each([
    [['folder', 'add', 'a', '--kind', 'sealed'], 'USAGE'],
    [['folder', 'add', 'a', '--kind', 'sealed', '--postgres', 'x', '--command', 'y'], 'USAGE'],
    [['folder', 'add', 'a', '--kind', 'sealed', '--path', '/nowhere/at/all'], 'CONFIG_INVALID'],
    [['folder', 'add', 'a', '--kind', 'sealed', '--command', 'y', '--schedule', 'often'], 'CONFIG_INVALID'],
    [['folder', 'add', 'a', '--kind', 'mirror', '--path', '/tmp', '--schedule', '@daily'], 'USAGE'],
    [['folder', 'add', 'a', '--kind', 'other', '--path', '/tmp'], 'USAGE'],
    [['folder', 'add', 'a', '--kind', 'mirror'], 'USAGE'],
    [['folder', 'add', 'A/B', '--kind', 'mirror', '--path', '/tmp'], 'FOLDER_UNKNOWN'],
    [['folder', 'add', 'a', '--kind', 'mirror', '--path', '/nowhere/at/all'], 'CONFIG_INVALID'],
  ])('refuses %j', async (args, code) => {
    await agent('init', '--yes');
    expectError(await agent(...args), code, 2);
  });

  it('refuses a directory with the private key of the agent in it, also by way of a link', async () => {
    await agent('init', '--yes');
    fs.mkdirSync(at('agent', 'inner'));
    fs.symlinkSync(at(), at('link'));
    for (const directory of [at(), at('agent'), at('agent', 'inner'), at('link'), '/']) {
      const result = await agent('folder', 'add', 'a', '--kind', 'mirror', '--path', directory);
      expectError(result, 'CONFIG_INVALID', 2);
      expect(result.stderr).toContain('choose a directory beside the home');
    }
    fs.mkdirSync(at('agent-of-another-name'));
    const beside = ['--kind', 'mirror', '--path', at('agent-of-another-name')];
    expect(await agent('folder', 'add', 'a', ...beside)).toMatchObject({ code: 0 });
  });

  it('refuses sealed paths with the home of the agent in them, but not a file of the home', async () => {
    await agent('init', '--yes');
    fs.symlinkSync(at(), at('link'));
    for (const directory of [at(), at('agent'), at('link'), '/']) {
      const result = await agent('folder', 'add', 'a', '--kind', 'sealed', '--path', directory);
      expectError(result, 'CONFIG_INVALID', 2);
      expect(result.stderr).toContain('beside the home');
    }
    const own = ['--kind', 'sealed', '--path', at('agent', 'agent.yaml')];
    expect(await agent('folder', 'add', 'a', ...own)).toMatchObject({ code: 0 });
  });

  it('says what cannot be looked at, and why', async () => {
    await agent('init', '--yes');
    fs.symlinkSync('round', at('round'));
    for (const kind of ['mirror', 'sealed']) {
      const result = await agent('folder', 'add', 'a', '--kind', kind, '--path', at('round'));
      expectError(result, 'CONFIG_INVALID', 2);
      expect(result.stderr).toContain('cannot be looked at: ELOOP');
    }
    expectError(await agent('init', '--home', at('other'), '--mastodon', at('round')), 'CONFIG_INVALID', 2);
  });

  it('warns of folders that hold the same files, as config check does', async () => {
    await agent('init', '--yes');
    fs.mkdirSync(at('tree', 'inner'), { recursive: true });
    fs.writeFileSync(at('tree', 'secret'), 'x');
    const mirror = ['--kind', 'mirror', '--path'];
    expect(JSON.parse((await agent('folder', 'add', 'all', ...mirror, at('tree'), '--json')).stdout)).toEqual(
      {
        id: 'all',
        kind: 'mirror',
        path: at('tree'),
        ignore: [],
        active: false,
        warnings: [],
      },
    );
    const twice = `folder all holds ${at('tree', 'inner')}, which is folder part: it is kept twice`;
    const part = await agent('folder', 'add', 'part', ...mirror, at('tree', 'inner'));
    expect(part.stdout).toContain(`warning: ${twice}\n`);
    const open = await agent(
      'folder',
      'add',
      's',
      '--kind',
      'sealed',
      '--path',
      at('tree', 'secret'),
      '--json',
    );
    const readable = `folder s seals ${at('tree', 'secret')}, but receivers can read it: folder all holds it, unsealed`;
    expect(JSON.parse(open.stdout)).toMatchObject({ warnings: [readable] });
    fs.mkdirSync(at('etc', 'keys'), { recursive: true });
    await agent('folder', 'add', 'etc', '--kind', 'sealed', '--path', at('etc'));
    for (const directory of [at('etc'), at('etc', 'keys')]) {
      const result = await agent('folder', 'add', 'keys', ...mirror, directory);
      expectError(result, 'CONFIG_INVALID', 2);
      expect(result.stderr).toContain('receivers can read');
      expect(result.stderr).toContain('--ignore');
    }
    const file = at('agent', 'agent.yaml');
    expect(JSON.parse((await agent('config', 'check', '--json')).stdout)).toEqual({
      ok: true,
      file,
      warnings: [twice, readable],
    });
    expect((await agent('config', 'check')).stdout).toBe(
      `${file} is good\nwarning: ${twice}\nwarning: ${readable}\n`,
    );
  });

  it.each([
    ['a mirror folder', 'kind: mirror', (directory: string) => `path: ${directory}`],
    ['sealed paths', 'kind: sealed', (directory: string) => `source: {paths: [/etc/hosts, ${directory}]}`],
  ])('refuses to run on a file into which %s around the home were written', async (_, kind, where) => {
    await agent('init', '--yes');
    fs.symlinkSync(at(), at('link'));
    const config = at('agent', 'agent.yaml');
    const written = fs.readFileSync(config, 'utf8');
    for (const directory of [at(), at('link'), at('agent')]) {
      const folder = `folders:\n  - id: a\n    ${kind}\n    ${where(directory)}\n`;
      fs.writeFileSync(config, written.replace('folders: []\n', folder));
      for (const command of [['config', 'check'], ['run']]) {
        const result = await agent(...command);
        expectError(result, 'CONFIG_INVALID', 2);
        expect(result.stderr).toMatch(/agent\.yaml line \d+: folders\.0: .* the home of this agent/);
        expect(result.stderr).toContain('beside the home');
      }
    }
  });

  it('keeps the source of a sealed folder, and prints no password', async () => {
    await agent('init', '--yes');
    const database = 'postgres://mastodon:s3cret@localhost/mastodon';
    const added = await agent('folder', 'add', 'db', '--kind', 'sealed', '--postgres', database, '--json');
    expect(added).toMatchObject({ code: 0 });
    expect(added.stdout).not.toContain('s3cret');
    expect((await agent('config', 'show')).stdout).not.toContain('s3cret');
    expect(fs.readFileSync(at('agent', 'agent.yaml'), 'utf8')).toContain('s3cret');
    await agent('folder', 'add', 'etc', '--kind', 'sealed', '--path', '/etc/passwd', '--path', '/etc/hosts');
    const shown = JSON.parse((await agent('config', 'show', '--json')).stdout) as { folders: object[] };
    expect(shown.folders).toEqual([
      {
        id: 'db',
        kind: 'sealed',
        source: {
          postgres: { connection: 'postgres://mastodon@localhost/mastodon?password=***', exec: null },
        },
        schedule: '40 * * * *',
      },
      {
        id: 'etc',
        kind: 'sealed',
        source: { paths: ['/etc/passwd', '/etc/hosts'], ignore: [] },
        schedule: '40 * * * *',
      },
    ]);
  });
});

describe('config check', () => {
  it('is content with what init wrote, and names the line of a mistake', async () => {
    await agent('init', '--yes');
    expect(await agent('config', 'check')).toMatchObject({ code: 0 });
    fs.appendFileSync(at('agent', 'agent.yaml'), 'nonsense: 1\n');
    const lines = fs.readFileSync(at('agent', 'agent.yaml'), 'utf8').split('\n').length - 1;
    const result = await agent('config', 'check');
    expectError(result, 'CONFIG_INVALID', 2);
    expect(result.stderr).toContain(`agent.yaml line ${lines}: there is no option "nonsense"`);
  });
});

it('an interrupted command ends with 130', async () => {
  await agent('init', '--yes');
  // Holds the home and listens on nothing, so that the command waits.
  const holder = spawn(
    process.execPath,
    [
      '-e',
      "new (require('better-sqlite3'))(process.argv[1]).exec('BEGIN EXCLUSIVE'); console.log('held'); setInterval(() => {}, 1000)",
      at('agent', 'lock'),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  onTestFinished(() => {
    holder.kill('SIGKILL');
  });
  await once(holder.stdout, 'data');
  const child = spawn(process.execPath, ['agent/main.ts', '--home', at('agent'), 'status'], {
    stdio: 'ignore',
  });
  const closed = once(child, 'close') as Promise<[number | null]>;
  await until('the command waits for the home', () => hasOpen(child.pid, at('agent', 'lock')));
  child.kill('SIGINT');
  const [code] = await closed;
  expect(code).toBe(130);
});

function hasOpen(pid: number | undefined, file: string): boolean {
  const directory = `/proc/${pid}/fd`;
  return fs.readdirSync(directory).some((fd) => {
    try {
      return fs.readlinkSync(`${directory}/${fd}`) === file;
    } catch {
      return false; // closed since it was listed
    }
  });
}
