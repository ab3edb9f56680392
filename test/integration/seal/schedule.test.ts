import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseAgentConfig } from '../../../agent/config.ts';
import { SealedSchedule } from '../../support/sealed-schedule.ts';
import { createTestKey } from '../../support/sealed-bench.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const at = (time: string): number => Date.parse(`2026-11-21T${time}Z`);
const clock = (ms: number | null): string => new Date(ms ?? 0).toISOString().slice(11, 19);
let directory: string;
let agent: SealedSchedule;
let zone: string | undefined;

beforeEach(async () => {
  zone = process.env['TZ'];
  process.env['TZ'] = 'UTC';
  directory = temporaryDirectory();
  agent = await SealedSchedule.create(directory, at('08:00:00'));
});

afterEach(async () => {
  await agent.folders.stop();
  if (zone === undefined) delete process.env['TZ'];
  else process.env['TZ'] = zone;
});

const started = (id: string): string => clock(agent.status(id).lastStartedAt);

/** A command that notes its begin and end, and stands still in between until `release`. */
function slowCommand(id: string): { command: string; release: () => void } {
  const gate = path.join(directory, `${id}-gate`);
  const log = path.join(directory, 'runs');
  const wait = `while [ ! -e ${gate} ]; do sleep 0.02; done; rm ${gate}`;
  return {
    command: `echo ${id} begins >> ${log}; ${wait}; echo ${id} ends >> ${log}; date +%N`,
    release: () => fs.writeFileSync(gate, ''),
  };
}
/** Whole lines only: a file is there before anything is in it. */
const runs = (): string[] => {
  const log = path.join(directory, 'runs');
  return fs.existsSync(log) ? fs.readFileSync(log, 'utf8').split('\n').slice(0, -1) : [];
};

describe('the schedules of a running agent', () => {
  it('dump hourly at :40 where nothing else is said', async () => {
    const text = 'folders: [{id: clock, kind: sealed, source: {command: date +%N}}]';
    const [folder] = parseAgentConfig(text, 'agent.yaml').folders;
    if (folder?.kind !== 'sealed') throw new Error('not a sealed folder');
    agent.add('clock', folder.source, folder.schedule);
    agent.folders.start();
    await agent.pass(39 * minuteMs);
    expect(agent.versions('clock')).toEqual([]);
    await agent.pass(2 * minuteMs);
    expect(agent.versions('clock')).toEqual([1]);
    expect(started('clock')).toMatch(/^08:40:0/);
    await agent.pass(2 * hourMs);
    expect(agent.versions('clock')).toEqual([1, 2, 3]);
    expect(started('clock')).toMatch(/^10:40:0/);
  });

  it('make up all moments that were missed by one dump, right after the start', async () => {
    agent.add('clock', { command: 'date +%N' });
    agent.folders.start();
    await agent.pass(hourMs);
    expect(agent.versions('clock')).toEqual([1]);
    await agent.restart(5 * hourMs);
    expect(agent.versions('clock')).toEqual([1, 2]);
    expect(started('clock')).toBe('14:00:00');
    await agent.pass(39 * minuteMs);
    expect(agent.versions('clock')).toEqual([1, 2]);
    await agent.pass(2 * minuteMs);
    expect(agent.versions('clock')).toEqual([1, 2, 3]);
  });

  it('make up nothing after a start when nothing was missed', async () => {
    agent.add('clock', { command: 'date +%N' });
    agent.folders.start();
    await agent.pass(hourMs);
    await agent.restart(30 * minuteMs);
    expect(agent.versions('clock')).toEqual([1]);
  });

  it('never run two dumps at once, and never queue a folder twice', async () => {
    const [one, two] = [slowCommand('one'), slowCommand('two')];
    agent.add('one', { command: one.command });
    agent.add('two', { command: two.command });
    agent.folders.start();
    agent.leap(41 * minuteMs);
    await until('the first begins', () => runs().length > 0);
    for (let hour = 0; hour < 5; hour += 1) agent.leap(hourMs);
    expect([agent.status('one').state, agent.status('two').state]).toEqual(['dumping', 'waiting']);
    expect(runs()).toEqual(['one begins']);
    one.release();
    await until('the second begins', () => runs().includes('two begins'));
    two.release();
    await agent.settled();
    expect(runs()).toEqual(['one begins', 'one ends', 'two begins', 'two ends']);
    expect([agent.versions('one'), agent.versions('two')]).toEqual([[1], [1]]);
  });

  it('double the interval after a dump longer than a third of it, say so, and go back', async () => {
    const slow = slowCommand('slow');
    agent.add('slow', { command: slow.command });
    agent.folders.start();
    agent.leap(40 * minuteMs);
    await until('it begins', () => runs().length > 0);
    agent.nowMs += 21 * minuteMs;
    slow.release();
    await agent.settled();
    expect(agent.status('slow').stretch).toBe(2);
    const warnings = agent.log.lines.filter(({ level }) => level === 'warn');
    expect(warnings).toMatchObject([{ folder: 'slow', stretch: 2, durationMs: 21 * minuteMs }]);
    expect(warnings[0]?.message).toMatch(/longer than a third of its interval/);
    await agent.pass(90 * minuteMs);
    expect(runs()).toHaveLength(2);
    slow.release();
    await agent.pass(10 * minuteMs);
    expect(runs()).toHaveLength(4);
    expect(started('slow')).toMatch(/^10:40:0/);
    expect(agent.status('slow').stretch).toBe(1);
    slow.release();
    await agent.pass(hourMs);
    expect(started('slow')).toMatch(/^11:40:0/);
  });

  it('rest during a pause, and make up the moments that it covered by one dump', async () => {
    agent.add('clock', { command: 'date +%N' });
    agent.folders.start();
    agent.folders.pause(true);
    await agent.pass(6 * hourMs);
    expect(agent.versions('clock')).toEqual([]);
    agent.folders.pause(false);
    await agent.settled();
    expect(agent.versions('clock')).toEqual([1]);
    await agent.pass(30 * minuteMs);
    expect(agent.versions('clock')).toEqual([1]);
  });

  it('begin again ten minutes after its start a dump that the end of the agent interrupted', async () => {
    const slow = slowCommand('slow');
    agent.add('slow', { command: slow.command }, '0 3 * * *');
    agent.folders.start();
    agent.leap(19 * hourMs);
    await until('it begins', () => runs().length > 0);
    await agent.restart(2 * minuteMs);
    expect(agent.status('slow').failure).toBe(null);
    slow.release();
    await agent.pass(7 * minuteMs);
    expect(runs()).toEqual(['slow begins']);
    await agent.pass(2 * minuteMs);
    expect(runs()).toEqual(['slow begins', 'slow begins', 'slow ends']);
    expect(agent.versions('slow')).toEqual([1]);
  });
});

describe('paths on a schedule', () => {
  let root: string;

  beforeEach(async () => {
    root = path.join(directory, 'etc');
    fs.mkdirSync(root);
    fs.writeFileSync(path.join(root, 'docker-compose.yml'), 'services: {}\n');
    agent.add('secrets', { paths: [root], ignore: [] });
    agent.folders.start();
    await agent.pass(hourMs);
    expect(agent.versions('secrets')).toEqual([1]);
  });

  it('are sealed again when they change, and only then', async () => {
    await agent.pass(3 * hourMs);
    expect(agent.versions('secrets')).toEqual([1]);
    expect(started('secrets')).toMatch(/^11:40:0/);
    fs.chmodSync(path.join(root, 'docker-compose.yml'), 0o600);
    await agent.pass(hourMs);
    expect(agent.versions('secrets')).toEqual([1, 2]);
    await agent.pass(hourMs);
    expect(agent.versions('secrets')).toEqual([1, 2]);
  });

  it('are sealed again for other recipients, though nothing changed', async () => {
    const { publicArmored } = await createTestKey('second');
    await agent.recipients.add({ name: 'second', content: publicArmored });
    await agent.pass(2 * hourMs);
    expect(agent.versions('secrets')).toEqual([1, 2]);
  });

  it('are sealed again for a receiver that lacks them, though nothing changed', async () => {
    const [feed] = agent.folders.list();
    if (feed === undefined) throw new Error('no feed');
    const taken = { indexId: feed.indexId(), sequence: feed.completeThrough() ?? 0, token: Buffer.alloc(32) };
    feed.acknowledged('first', taken);
    await agent.restart(0);
    await agent.pass(hourMs);
    expect(agent.versions('secrets')).toEqual([1]);
    agent.folders.list()[0]?.acknowledged('second', { ...taken, sequence: 0 });
    await agent.pass(hourMs);
    expect(agent.versions('secrets')).toEqual([1, 2]);
  });

  it('make no version when they vanished, say so once an hour, and go on when they are back', async () => {
    const away = `${root}-away`;
    fs.renameSync(root, away);
    await agent.pass(3 * hourMs);
    expect(agent.versions('secrets')).toEqual([1]);
    expect(agent.status('secrets').failure?.message).toMatch(/etc cannot be read: ENOENT/);
    expect(agent.log.lines.filter(({ level }) => level === 'error')).toHaveLength(3);
    fs.renameSync(away, root);
    await agent.pass(hourMs);
    expect(agent.status('secrets').failure).toBe(null);
    expect(agent.versions('secrets')).toEqual([1, 2]);
  });
});
