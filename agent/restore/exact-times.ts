import { type ChildProcessByStdio, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import type { Readable, Writable } from 'node:stream';

/** `file`: bytes of a path that a child process can open too; a symbolic link there gets the time itself. */
export type TimeStamp = { file: Buffer; mtimeNs: bigint };

/**
 * Sets modification (and access) times to the nanosecond.
 *
 * Node hands times to the kernel as doubles, which hold a time of today to 238 ns only. So a child process does it:
 * perl's `syscall` (perl-base is on every Debian and Ubuntu; 100,000 files in 0.4 s), GNU touch where there is no
 * perl (about 1 ms a file), and Node itself where both are missing or the file system keeps no nanoseconds.
 */
export type TimeStamper = {
  readonly method: 'perl' | 'touch' | 'node';
  /** Resolves when all are set. Files that vanished or refuse a time are left as they are: a time is not worth a failure. */
  stamp(stamps: readonly TimeStamp[]): Promise<void>;
  stop(): void;
};

/** Finds the first method that sets a time exactly on a probe file in `directory`, which is removed again. */
export async function startTimeStamper(directory: string): Promise<TimeStamper> {
  const probe = path.join(directory, `.mastokeep-restore-probe-${process.pid}`);
  const mtimeNs = 1_700_000_000_123_456_789n;
  fs.writeFileSync(probe, '');
  try {
    for (const start of [startPerl, startTouch]) {
      const stamper = start();
      if (stamper === null) continue;
      await stamper.stamp([{ file: Buffer.from(probe), mtimeNs }]).catch(() => {});
      if (fs.statSync(probe, { bigint: true }).mtimeNs === mtimeNs) return stamper;
      stamper.stop();
    }
  } finally {
    fs.rmSync(probe, { force: true });
  }
  return nodeStamper;
}

/** Numbers of utimensat(2), by `process.arch`. */
const utimensatNumbers: ReadonlyMap<string, number> = new Map([
  ['x64', 280],
  ['arm64', 88],
]);

/** Reads `SECONDS NANOSECONDS\0PATH\0` and, for an empty record, answers with a NUL when all before it are done. */
const perlProgram = (utimensat: number): string => `
  use strict; binmode STDIN; binmode STDOUT; $| = 1; $/ = "\\0";
  while (defined(my $time = <STDIN>)) {
    chomp $time;
    if ($time eq '') { print "\\0"; next }
    my ($seconds, $nanoseconds) = split / /, $time;
    my $file = <STDIN>; chomp $file;
    my $times = pack 'q4', $seconds, $nanoseconds, $seconds, $nanoseconds;
    syscall ${utimensat}, -100, $file, $times, 0x100;
  }`;

function startPerl(): TimeStamper | null {
  const utimensat = utimensatNumbers.get(process.arch);
  if (utimensat === undefined) return null;
  const child = spawn('perl', ['-e', perlProgram(utimensat)], { stdio: ['pipe', 'pipe', 'ignore'] });
  const answers = new AnswerQueue(child);
  return {
    method: 'perl',
    stamp: async (stamps) => {
      if (stamps.length === 0) return;
      const parts: Buffer[] = [];
      for (const { file, mtimeNs } of stamps) {
        const { seconds, nanoseconds } = splitTime(mtimeNs);
        parts.push(Buffer.from(`${seconds} ${nanoseconds}\0`), file, Buffer.of(0));
      }
      parts.push(Buffer.of(0));
      child.stdin.write(Buffer.concat(parts));
      await answers.next();
    },
    stop: () => child.kill(),
  };
}

/** One NUL from the child for each caller, in order; the end of the child rejects them all. */
class AnswerQueue {
  #waiting: { resolve: () => void; reject: (error: Error) => void }[] = [];
  #ended: Error | null = null;

  constructor(child: ChildProcessByStdio<Writable, Readable, null>) {
    const end = (error: Error): void => {
      this.#ended ??= error;
      for (const { reject } of this.#waiting.splice(0)) reject(this.#ended);
    };
    child.on('error', end);
    child.on('close', () => end(new Error('the process that sets times ended')));
    child.stdin.on('error', end);
    child.stdout.on('data', (answer: Buffer) => {
      for (const { resolve } of this.#waiting.splice(0, answer.length)) resolve();
    });
    child.unref();
  }

  next(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#ended === null) this.#waiting.push({ resolve, reject });
      else reject(this.#ended);
    });
  }
}

function startTouch(): TimeStamper {
  return {
    method: 'touch',
    stamp: (stamps) =>
      new Promise((resolve, reject) => {
        if (stamps.length === 0) return resolve();
        const child = spawn('xargs', ['-0', '-n', '2', 'touch', '-h', '-c', '-d'], {
          stdio: ['pipe', 'ignore', 'ignore'],
        });
        child.on('error', reject);
        child.on('close', () => resolve());
        child.stdin.on('error', () => {});
        for (const { file, mtimeNs } of stamps) {
          child.stdin.write(
            Buffer.concat([Buffer.from(`@${decimalSeconds(mtimeNs)}\0`), file, Buffer.of(0)]),
          );
        }
        child.stdin.end();
      }),
    stop: () => {},
  };
}

const nodeStamper: TimeStamper = {
  method: 'node',
  stamp: async (stamps) => {
    for (const { file, mtimeNs } of stamps) {
      const seconds = Number(mtimeNs) / 1e9;
      try {
        fs.lutimesSync(file, seconds, seconds);
      } catch {
        // A time is not worth a failure.
      }
    }
  },
  stop: () => {},
};

/** A time before 1970 has negative seconds and positive nanoseconds, as the kernel wants it. */
function splitTime(timeNs: bigint): { seconds: bigint; nanoseconds: bigint } {
  const nanoseconds = ((timeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return { seconds: (timeNs - nanoseconds) / 1_000_000_000n, nanoseconds };
}

/** `-1.500000000` is one and a half seconds before 1970. */
function decimalSeconds(timeNs: bigint): string {
  const size = timeNs < 0n ? -timeNs : timeNs;
  const fraction = String(size % 1_000_000_000n).padStart(9, '0');
  return `${timeNs < 0n ? '-' : ''}${size / 1_000_000_000n}.${fraction}`;
}
