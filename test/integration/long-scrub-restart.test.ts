import fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { scrubExitCode } from '../../receiver/cli/scrub-command.ts';
import { ScrubMemory } from '../../receiver/scrub/scrub-memory.ts';
import { defaultScrubOptions } from '../../receiver/scrub/scrub-state.ts';
import { Scrubber } from '../../receiver/scrub/scrubber.ts';
import { bytesPerFile } from '../../receiver/store/content-check.ts';
import { AlarmBoard } from '../../shared/alarm-board.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { longContent, LongScrubBench, smallLimits } from '../support/long-scrub-bench.ts';

const size = 2000;
const long = longContent('long', size);
const name = 'current/long';

let bench: LongScrubBench;

beforeEach(async () => {
  bench = new LongScrubBench();
  await bench.begin({ before: Buffer.from('before'), long, 'z-behind': Buffer.from('behind') });
});
afterEach(async () => {
  await bench.end();
});

const readOfLong = (): number => bench.rotting.takeRead(name);

describe('a scrubber that ends in the middle of a long file', () => {
  const whole = size + 'before'.length + 'behind'.length + 3 * bytesPerFile;
  let steadyMs: number;
  let scrubber: Scrubber;

  beforeEach(() => {
    steadyMs = 0;
    scrubber = startScrubber();
  });
  afterEach(async () => {
    await scrubber.stop();
  });

  const memoryFile = (): string => `${bench.directory}/scrub.json`;

  function startScrubber(): Scrubber {
    const now = (): number => 1_800_000_000_000;
    const started = new Scrubber(
      {
        subjects: () => [bench.subject],
        memory: new ScrubMemory({ file: memoryFile() }),
        isHere: () => true,
        isPartHidden: () => false,
        alarms: new AlarmBoard({ logger: silentLogger, now }),
        logger: silentLogger,
        onStop: () => {},
        now,
        steadyNow: () => steadyMs,
      },
      defaultScrubOptions,
    );
    started.start(3_600_000);
    return started;
  }

  const never = new AbortController().signal;
  const run = async (all = false) => scrubber.run({ all }, never);

  /** Ends it while the piece at that offset is read; `onRead` is told of each piece before. */
  async function endAt(offset: number, onRead: (position: number) => void = () => {}): Promise<void> {
    let hasEnded = false;
    bench.rotting.onRead = (read, position) => {
      if (read !== name || hasEnded) return;
      onRead(position);
      hasEnded = position >= offset;
      if (hasEnded) void scrubber.stop();
    };
    await expect(run()).rejects.toMatchObject({ code: 'NOT_RUNNING' });
    await scrubber.stop();
  }

  it('reads only the rest afterwards', async () => {
    await endAt(1024);
    expect(readOfLong()).toBe(1024 + smallLimits.page);
    scrubber = startScrubber();
    expect(await run()).toMatchObject({ readBytes: whole, found: 0 });
    expect(readOfLong()).toBe(size - 1024);
  });

  it('reads the rest behind what it had written down when it was killed', async () => {
    let kept = '';
    await endAt(1280, (position) => {
      if (position < 512) steadyMs += 31_000;
      kept = fs.readFileSync(memoryFile(), 'utf8');
    });
    fs.writeFileSync(memoryFile(), kept);
    readOfLong();
    scrubber = startScrubber();
    expect(await run()).toMatchObject({ readBytes: whole, found: 0 });
    expect(readOfLong()).toBe(size - 512);
  });

  it('forgets how far it was when everything is asked for', async () => {
    await endAt(1024);
    readOfLong();
    scrubber = startScrubber();
    expect(await run(true)).toMatchObject({ readBytes: whole, found: 0 });
    expect(readOfLong()).toBe(size);
  });

  it('finds damage on either side of where it was', async () => {
    bench.rotting.rot.set(name, { wrongAt: [3] });
    await endAt(1024);
    scrubber = startScrubber();
    expect(await run()).toMatchObject({ readBytes: whole, found: 1 });
  });

  it('calls nothing covered while the file is touched again and again', async () => {
    let touched = 0;
    bench.rotting.onRead = (read) => {
      if (read === name) fs.utimesSync(bench.place(name), 1, (touched += 1));
    };
    const report = await run();
    expect(report).toMatchObject({ skipped: true, damaged: 0, found: 0 });
    expect(scrubExitCode(report)).toBe(1);
    expect(scrubber.status()).toMatchObject({ done: true, coveredAt: null });
    expect(bench.rotting.takeRead('current/z-behind')).toBe('behind'.length);
    bench.rotting.onRead = () => {};
    readOfLong();
    expect(await run()).toMatchObject({ skipped: false, readBytes: whole });
    expect(readOfLong()).toBe(size);
    expect(scrubber.status().coveredAt).not.toBeNull();
  });

  it('begins a new pass where what it had written down is damaged', async () => {
    await endAt(1024);
    readOfLong();
    const text = fs.readFileSync(memoryFile(), 'utf8');
    fs.writeFileSync(memoryFile(), text.replace('"offset":1024', '"offset":1280'));
    scrubber = startScrubber();
    expect(scrubber.status().readBytes).toBe(0);
    expect(await run()).toMatchObject({ readBytes: whole, found: 0 });
    expect(readOfLong()).toBe(size);
  });
});
