import { createPublicKey } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { CommanderError, type Command } from 'commander';
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { z } from 'zod';
import { createAgentProgram } from '../../agent/cli/program.ts';
import { createReceiverProgram } from '../../receiver/cli/program.ts';
import { writeFreeze } from '../../receiver/guard/freeze-file.ts';
import { notFrozen, withHit } from '../../receiver/guard/freeze-state.ts';
import { PointBook } from '../../receiver/points/point-book.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { homeAt } from '../../shared/io/home.ts';
import { controlRoute } from '../../shared/io/control-route.ts';
import { startControlServer } from '../../shared/io/control-server.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { PointSigner } from '../support/point-fixture.ts';
import { receiverCopies } from '../support/receiver-copies.ts';
import { FeedFake } from '../support/store-fixture.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { makeStoppedReceiver } from '../support/stopped-receiver.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

const signer = new PointSigner();
const agentId = signer.agent;
const [first, second] = [signer.point(1), signer.point(2)];
let scratch: string;
let said: string;

/** A receiver that does not run, with two restore points and a file. */
beforeEach(async () => {
  scratch = memoryDirectory();
  said = '';
  for (const stream of [process.stdout, process.stderr]) {
    vi.spyOn(stream, 'write').mockImplementation((text) => {
      said += String(text);
      return true;
    });
  }
  await makeStoppedReceiver(scratch, []);
  const copies = receiverCopies(scratch);
  copies.learnKey(agentId, signer.publicKey.export({ type: 'spki', format: 'der' }));
  const store = (await copies.open(agentId, 'media', 'mirror')) as MirrorStore;
  const feed = new FeedFake(() => store);
  await feed.send({ file: 'content' });
  await feed.complete();
  await copies.close();
  const [now, steadyNow] = [() => Date.now(), () => 0];
  const book = await PointBook.open(
    {
      disk: nodeDisk,
      agentKey: () => createPublicKey(signer.keyPem),
      retentionNow: now,
      now,
      steadyNow,
      isForgotten: () => false,
      logger: silentLogger,
    },
    { directory: path.join(scratch, 'data', agentId, 'points'), agent: agentId },
  );
  for (const { record, signature } of [first, second]) await book.take(record, signature);
  await book.close();
});

afterEach(() => {
  vi.restoreAllMocks();
});

/** What the command ends with: the code of its error, if it has one, and the exit code. */
async function ended(...args: string[]): Promise<string> {
  return endOf(createReceiverProgram(), ['--home', path.join(scratch, 'home'), ...args]);
}

async function endOf(program: Command, args: readonly string[]): Promise<string> {
  for (const command of [program, ...program.commands]) command.exitOverride();
  try {
    await program.parseAsync(args, { from: 'user' });
    return `done ${process.exitCode ?? 0}`;
  } catch (error) {
    if (error instanceof CommanderError) return 'USAGE 2';
    if (!(error instanceof CodedError)) throw error;
    return `${error.code} ${error.exitCode}`;
  } finally {
    process.exitCode = 0;
  }
}

const names = async (): Promise<string[]> => {
  said = '';
  expect(await ended('points', '--json')).toBe('done 0');
  return (JSON.parse(said) as { points: { id: string; pinned: boolean }[] }).points
    .map(({ id, pinned }) => (pinned ? `${id} pinned` : id))
    .sort();
};

it('ends with 0 where points were listed, pinned, unpinned and forgotten, else with a code, and then nothing has changed', async () => {
  const both = [first.id, second.id].sort();
  for (const [args, end] of [
    [['points', '--agent', agentId.slice(0, 7)], 'done 0'],
    [['points', '--agent', 'AAAAAAA'], 'DEVICE_UNKNOWN 2'],
    [['pin', 'none', 'label'], 'POINT_UNKNOWN 2'],
    [['pin', first.id], 'USAGE 2'],
    [['pin', first.id, ''], 'USAGE 2'],
    [['pin', first.id, 'x'.repeat(101)], 'USAGE 2'],
    [['pin', first.id, 'two\nlines'], 'USAGE 2'],
    [['unpin', 'none'], 'POINT_UNKNOWN 2'],
    [['unpin', first.id], 'done 0'],
    [['forget'], 'USAGE 2'],
    [['forget', 'none', '--yes'], 'POINT_UNKNOWN 2'],
    [['forget', '2026', '--yes'], 'POINT_UNKNOWN 2'],
    [['forget', first.id, 'none', '--yes'], 'POINT_UNKNOWN 2'],
    [['forget', first.id], 'USAGE 2'],
    [['forget', first.id, '--dry-run'], 'done 0'],
  ] as const) {
    expect([args, await ended(...args)]).toEqual([args, end]);
  }
  expect(await names()).toEqual(both);
  expect(await ended('pin', first.id.slice(0, 18), 'label')).toBe('done 0');
  for (const how of ['--dry-run', '--yes']) {
    expect(await ended('forget', first.id, second.id, how)).toBe('POINT_PINNED 1');
  }
  expect(await names()).toEqual(both.map((id) => (id === first.id ? `${id} pinned` : id)));
  expect(await ended('unpin', first.id)).toBe('done 0');
  expect(await ended('forget', first.id, '--yes')).toBe('done 0');
  expect(await names()).toEqual([second.id]);
});

it('ends with 0 where nothing is frozen or a freeze was ended, and with 1 where that cannot be', async () => {
  const file = path.join(scratch, 'data', agentId, '_freeze.json');
  expect(await ended('release')).toBe('done 0');
  expect(await ended('release', '--agent', 'AAAAAAA')).toBe('DEVICE_UNKNOWN 2');
  const hit = {
    folder: 'media',
    code: 'MASS_CHANGE',
    since: '2026-11-21T10:00:00.000Z',
    from: 0,
    what: 'gone',
  } as const;
  writeFreeze(file, withHit(notFrozen, hit));
  expect(await ended('release')).toBe('done 0');
  expect(said).toContain('MASS_CHANGE: gone');
  fs.rmSync(file);
  fs.mkdirSync(file);
  expect(await ended('release', '--agent', agentId)).toBe('DISK_FAILED 1');
});

it('ends with a code where no device can go on with the data of another, and with 0 where one does, also again', async () => {
  const next = new PointSigner().agent;
  for (const [args, end] of [
    [['x', next], 'DEVICE_UNKNOWN 2'],
    [[agentId], 'USAGE 2'],
    [[agentId, agentId], 'SUCCESSION_REFUSED 1'],
    [[agentId, 'AAAAAAA'], 'DEVICE_ID_INVALID 2'],
    [[agentId.slice(0, 7), next], 'done 0'],
    [[agentId, next], 'done 0'],
  ] as const) {
    expect([args, await ended('succeed', ...args)]).toEqual([args, end]);
  }
});

it('scrub ends with 1 while something is damaged; status needs the program', async () => {
  expect(await ended('scrub')).toBe('done 0');
  fs.writeFileSync(path.join(scratch, 'data', agentId, 'media/current/file'), 'CONTENT');
  expect(await ended('scrub', '--all')).toBe('done 1');
  expect(await ended('scrub', '--all', '--json')).toBe('done 1');
  fs.writeFileSync(path.join(scratch, 'data', agentId, 'media/current/file'), 'content');
  expect(await ended('scrub', '--all')).toBe('done 0');
  expect(await ended('status')).toBe('NOT_RUNNING 1');
});

/** Something in the place of the running program, which gives these answers. */
async function answer(configName: string, answers: Record<string, () => unknown>): Promise<void> {
  const home = homeAt(path.join(scratch, 'home'), configName);
  const routes = Object.entries({ about: () => ({}), ...answers }).map(
    ([name, result]) => [name, controlRoute(z.looseObject({}), async () => result())] as const,
  );
  const server = await startControlServer({ home, logger: silentLogger, routes: Object.fromEntries(routes) });
  onTestFinished(() => server.close());
}

it('ends with what the running receiver answers: with 3 where the agent stays frozen, with the code of its error', async () => {
  await answer('receiver.yaml', {
    release: () => ({ agent: agentId, released: [], frozen: true }),
    pin: () => {
      throw new CodedError('POINT_UNKNOWN', 'no such point');
    },
  });
  expect(await ended('release')).toBe('done 3');
  expect(await ended('release', '--json')).toBe('done 3');
  expect(await ended('pin', 'none', 'label')).toBe('POINT_UNKNOWN 2');
});

it('dump ends with 3 where it is made and not pinned, with 2 for a label that is none, with 4 when it waited too long', async () => {
  const dump = async (...args: string[]): Promise<string> =>
    endOf(createAgentProgram(), ['--home', path.join(scratch, 'home'), 'dump', ...args]);
  fs.writeFileSync(path.join(scratch, 'home', 'agent.yaml'), '');
  expect(await dump()).toBe('NOT_RUNNING 1');
  const done = { versions: [], copies: 0, point: first.id };
  const pins = [true, null, false].map((granted) => [{ receiver: agentId, granted, code: null }]);
  const results = [
    ...pins.flatMap((pin) => [pin, pin]).map((pin) => () => ({ ...done, pins: pin })),
    () => {
      throw new CodedError('TIMED_OUT', 'durable on no receiver');
    },
  ];
  await answer('agent.yaml', { dump: () => results.shift()?.() });
  const ends: string[] = [];
  for (const format of [[], ['--json'], [], ['--json'], [], ['--json'], []])
    ends.push(await dump('--pin', 'label', ...format));
  const limited = 'PINS_LIMITED 3';
  expect(ends).toEqual(['done 0', 'done 0', 'done 0', 'done 0', limited, limited, 'TIMED_OUT 4']);
  expect(await dump('--pin', 'two\nlines')).toBe('USAGE 2');
});
