import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CommandSource } from '../../agent/source/command-source.ts';
import { processOutput, readProcess } from '../../agent/source/source-process.ts';
import { isCoded } from '../../shared/errors/coded-error.ts';
import { takeEntries } from '../support/source-entries.ts';
import { until } from '../support/until.ts';

let directory: string;

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-command-'));
});

afterEach(() => {
  fs.rmSync(directory, { recursive: true, force: true });
});

/** The error that taking a command's output ends with. */
async function failureOf(command: string): Promise<{ code: string; message: string }> {
  try {
    await takeEntries(new CommandSource({ command }));
  } catch (error) {
    if (isCoded(error)) return error;
    throw error;
  }
  throw new Error(`"${command}" did not fail`);
}

/** True while a process with that text in its command line runs. */
function runs(text: string): boolean {
  return fs.readdirSync('/proc').some((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return false;
    try {
      return fs.readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(text);
    } catch {
      return false;
    }
  });
}

const plan = (command: string) => ({
  label: 'the command',
  argv: ['sh', '-c', command],
  environment: {},
  secrets: [],
  input: null,
});

describe('a command as a source', () => {
  it('gives what the command prints', async () => {
    const source = new CommandSource({ command: "printf 'a\\000b'; seq 1 100000", fileName: 'dump.rdb' });
    const [entry] = await takeEntries(source);
    expect(entry).toMatchObject({ path: 'dump.rdb', kind: 'file', mode: 0o600, size: null });
    expect(entry?.content?.subarray(0, 4).toString('latin1')).toBe('a\0b1');
    expect(entry?.content?.length).toBe(3 + 588_895);
    expect(await source.describe()).toEqual({ kind: 'command', pipefail: true });
    expect(await source.fingerprint()).toBe(null);
  });

  it('fails with its exit status and last words, of which there are at most 2 KiB', async () => {
    expect(await failureOf('echo data; echo "cannot open dump" >&2; exit 7')).toMatchObject({
      code: 'SOURCE_FAILED',
      message: 'the command failed with exit status 7: cannot open dump',
    });
    const long = await failureOf('seq 1 100000 >&2; echo the end >&2; exit 1');
    expect(long.message).toMatch(/99999\n100000\nthe end$/);
    expect(long.message.length).toBeLessThan(2200);
  });

  it('fails when a part of a pipe fails, when it is killed, prints nothing, or does not exist', async () => {
    expect((await failureOf('(echo half; exit 3) | cat')).message).toBe(
      'the command failed with exit status 3',
    );
    expect((await failureOf('echo half; kill -9 $$')).message).toBe('the command was killed by SIGKILL');
    expect((await failureOf('true')).message).toBe('the command printed nothing');
    expect((await failureOf('no-such-program-anywhere')).message).toMatch(/status 127: .*not found/);
  });

  it('runs at low priority', async () => {
    const [entry] = await takeEntries(new CommandSource({ command: 'ps -o ni= -p $$; ionice -p $$' }));
    expect(entry?.content?.toString().trim()).toMatch(/^19\s+best-effort: prio 7$/);
  });

  it('ends the whole process group when it is cancelled, also while nobody reads', async () => {
    const mark = `mastokeep-cancel-${process.pid}`;
    const command = `sleep 1000 & exec -a ${mark} bash -c 'while :; do echo ${mark}; (exec -a ${mark}-deep sleep 900); done'`;
    const abort = new AbortController();
    const taking = takeEntries(new CommandSource({ command }), abort.signal);
    taking.catch(() => {});
    await until('the command runs', () => runs(`${mark}-deep`));
    abort.abort();
    await expect(taking).rejects.toThrow(/cancelled/);
    await until('every process of the group is gone', () => !runs(mark));

    const held = new CommandSource({ command: `echo a; exec -a ${mark} sleep 900` }).entries(
      new AbortController().signal,
    );
    const first = await held.next();
    const content = (first.value as { content: AsyncIterable<Buffer> }).content[Symbol.asyncIterator]();
    await content.next();
    expect(runs(mark)).toBe(true);
    await content.return?.();
    await until('a command that nobody reads on is gone', () => !runs(mark));
  });

  it('ends a command that ignores SIGTERM', async () => {
    const mark = `mastokeep-stubborn-${process.pid}`;
    const abort = new AbortController();
    const command = `trap '' TERM PIPE; exec -a ${mark} bash -c "trap '' TERM PIPE; while :; do echo x 2>/dev/null; sleep 0.1; done"`;
    const source = new CommandSource({ command });
    const taking = takeEntries(source, abort.signal);
    taking.catch(() => {});
    await until('the command runs', () => runs(mark));
    abort.abort();
    await expect(taking).rejects.toThrow(/cancelled/);
    await until('it was killed', () => !runs(mark));
  });

  it('fails when its reader waits too long, and when it is silent too long', async () => {
    const signal = new AbortController().signal;
    const slow = async () => {
      for await (const piece of processOutput(plan('yes'), signal, { consumerWaitMsMax: 200 })) {
        expect(piece.length).toBeGreaterThan(0);
        await delay(600);
      }
    };
    await expect(slow()).rejects.toThrow(/had to wait 0.2 s for its output to be taken/);
    const quiet = Array.fromAsync(processOutput(plan('echo a; sleep 60'), signal, { silenceMsMax: 300 }));
    await expect(quiet).rejects.toThrow(/printed nothing for 0.3 s/);
  });

  it('blots secrets out of last words', async () => {
    const telling = { ...plan('echo "login x:hunter2 failed" >&2; exit 1'), secrets: ['hunter2'] };
    const taken = Array.fromAsync(processOutput(telling, new AbortController().signal));
    await expect(taken).rejects.toThrow('the command failed with exit status 1: login x:[secret] failed');
  });

  it('is not started when it is cancelled in the last moment before', async () => {
    const started = path.join(directory, 'started');
    const abort = new AbortController();
    const first = processOutput(plan(`touch '${started}'; exec sleep 800`), abort.signal).next();
    abort.abort();
    await expect(first).rejects.toThrow(/cancelled/);
    expect(fs.existsSync(started)).toBe(false);
  });

  it('leaves nothing open when it cannot be started', async () => {
    const signal = new AbortController().signal;
    const open = () => fs.readdirSync('/proc/self/fd').length;
    const before = open();
    for (const broken of [
      { ...plan('true'), environment: { NUL: 'a\0b' } },
      { ...plan('true'), argv: ['/nonexistent'] },
    ])
      await expect(Array.fromAsync(processOutput(broken, signal))).rejects.toMatchObject({
        code: 'SOURCE_FAILED',
      });
    await until('all is closed', () => open() <= before);
  });

  it('has answers of more than a buffer whole', async () => {
    const answer = await readProcess(plan('seq 300000'), new AbortController().signal, 60_000);
    // text of two megabytes takes a minute to be shown as different
    expect(answer === Array.from({ length: 300_000 }, (_, at) => `${at + 1}\n`).join('')).toBe(true);
  });

  it('is failed by a reader who goes on without the content', async () => {
    const source = new CommandSource({ command: 'echo a' });
    const skipping = async () => {
      for await (const entry of source.entries(new AbortController().signal)) expect(entry.kind).toBe('file');
    };
    await expect(skipping()).rejects.toThrow(/not read to its end/);
  });

  it('leaves nothing of it running after an orderly end of the program', async () => {
    const mark = `mastokeep-orderly-${process.pid}`;
    const script = path.join(directory, 'program.ts');
    const source = path.resolve('agent/source/command-source.ts');
    fs.writeFileSync(
      script,
      `import { CommandSource } from ${JSON.stringify(source)};
       const entries = new CommandSource({ command: 'exec -a ${mark} sleep 800' }).entries(new AbortController().signal);
       const entry = (await entries.next()).value;
       void entry.content[Symbol.asyncIterator]().next();
       setTimeout(() => process.exit(0), 1500);`,
    );
    const [entry] = await takeEntries(
      new CommandSource({ command: `${process.execPath} ${script} && echo ended` }),
    );
    expect(entry?.content?.toString()).toBe('ended\n');
    await until('the command of the program that ended is gone', () => !runs(`${mark}\0`));
  });
});
