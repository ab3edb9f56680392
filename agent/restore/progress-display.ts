import { MultiBar, type SingleBar } from 'cli-progress';
import { formatByteSize } from '../../shared/cli/byte-size.ts';
import { describeDuration } from '../../shared/cli/duration.ts';
import {
  type ProgressDisplay,
  RateMeter,
  remainingSeconds,
  type RestoreProgress,
} from './restore-progress.ts';

const barIntervalMs = 200;
const lineIntervalMs = 5000;

/** Shows nothing: for `--json`. */
export const silentDisplay: ProgressDisplay = {
  update: () => {},
  note: () => {},
  stop: () => {},
  abandon: () => {},
};

/** A bar where `stream` is a terminal, else a line every five seconds. */
export function createProgressDisplay(stream: NodeJS.WriteStream): ProgressDisplay {
  return stream.isTTY ? createBar(stream) : createLines(stream);
}

/** `1,204 of 20,000 files, 1.2 GiB of 3 GiB, 35 MiB/s, 2 minutes left`. */
export function describeProgress(progress: RestoreProgress, bytesPerSecond: number): string {
  const { files, filesTotal, bytes, bytesTotal, failed } = progress;
  const seconds = remainingSeconds(progress, bytesPerSecond);
  return [
    `${files.toLocaleString('en')} of ${filesTotal.toLocaleString('en')} ${filesTotal === 1 ? 'file' : 'files'}`,
    `${formatByteSize(bytes)} of ${formatByteSize(bytesTotal)}`,
    `${formatByteSize(bytesPerSecond)}/s`,
    ...(seconds === null || seconds === 0 ? [] : [`${describeDuration(seconds * 1000)} left`]),
    ...(failed === 0 ? [] : [`${failed.toLocaleString('en')} failed`]),
  ].join(', ');
}

function createBar(stream: NodeJS.WriteStream): ProgressDisplay {
  const meter = new RateMeter();
  const bars = new MultiBar({
    stream,
    format: '{bar} {percentage}%  {what}',
    barsize: 24,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
    clearOnComplete: false,
    gracefulExit: false,
    fps: 1000 / barIntervalMs,
  });
  // Made with the first progress: until then people may be looking at an invitation.
  let bar: SingleBar | null = null;
  let shownAt = -Infinity;
  const show = (progress: RestoreProgress): void => {
    meter.add(performance.now(), progress.bytesReceived);
    // A restore of empty files only has no bytes to go by.
    const byBytes = progress.bytesTotal > 0;
    bar ??= bars.create(1, 0, { what: '' });
    bar.setTotal(Math.max(1, byBytes ? progress.bytesTotal : progress.filesTotal));
    const done = byBytes ? progress.bytes : progress.files;
    bar.update(done, { what: describeProgress(progress, meter.bytesPerSecond()) });
  };
  return {
    update: (progress) => {
      if (performance.now() - shownAt < barIntervalMs) return;
      shownAt = performance.now();
      show(progress);
    },
    note: (line) => {
      if (bar === null) stream.write(`${line}\n`);
      else bars.log(`${line}\n`);
    },
    stop: (progress) => {
      if (bar !== null) show(progress);
      bars.stop();
    },
    abandon: () => bars.stop(),
  };
}

function createLines(stream: NodeJS.WriteStream): ProgressDisplay {
  const meter = new RateMeter();
  let shownAt = performance.now();
  meter.add(shownAt, 0);
  return {
    update: (progress) => {
      const now = performance.now();
      if (now - shownAt < lineIntervalMs) return;
      shownAt = now;
      meter.add(now, progress.bytesReceived);
      stream.write(`${describeProgress(progress, meter.bytesPerSecond())}\n`);
    },
    note: (line) => {
      stream.write(`${line}\n`);
    },
    stop: () => {},
    abandon: () => {},
  };
}
