import type { BenchmarkResult, Column, Goal, ResultTable, Row } from './benchmark.ts';
import type { Measured } from './measured-process.ts';
import { median } from './median.ts';
import type { DumpMeasured } from './sealed-pair.ts';

/** One hour's measurements; hour 0 is the first dump. `grownBytes`: how much more is kept on disk than before. */
export type Hour = {
  hour: number;
  changedRows: number;
  dumpBytes: number;
  /** `pg_dump -Fc -Z0 >/dev/null`. */
  bare: Measured;
  /** Our dump of the database itself. */
  postgres: DumpMeasured;
  /** Our dump of the file that the peers get. */
  bytes: DumpMeasured & { grownBytes: number };
  peers: { title: string; took: Measured; grownBytes: number }[];
};

/** A first dump of a file into something new, once for each. `alone`: ours while no receiver runs beside it. */
export type FirstRun = {
  ours: DumpMeasured | null;
  alone: DumpMeasured | null;
  peers: { title: string; took: Measured }[];
};

type Measurements = {
  versions: readonly string[];
  hours: readonly Hour[];
  firstRuns: readonly FirstRun[];
  checks: readonly string[];
};

const growthLimits: Readonly<Record<string, number>> = {
  restic: 1 / 12,
  'borg, zstd,3': 1 / 12,
  'gzip + gpg': 1 / 30,
};
const littleChangedLimit = 1.5;
const firstLimit = 1.2;

export function dumpHourlyResult({ versions, hours, firstRuns, checks }: Measurements): BenchmarkResult {
  const later = hours.filter(({ hour }) => hour > 0);
  return {
    tables: [bytesTable(hours), timeTable(later, firstRuns), resourcesTable(later, firstRuns)],
    goals: [...growthGoals(later), ...timeGoals(later, firstRuns)],
    checks,
    notes: [
      `compared with ${versions.join(', ') || 'nothing'}`,
      'sent: every byte over the link in both directions until the version is durable on the receiver, with TLS, records, manifest and padding',
      'time of mastokeep: until the version is made; where nothing else is said, while the receiver pulls it on the same machine',
      'growth of gzip + gpg: its file of that hour, which is sent whole',
    ],
  };
}

/** For whoever watches a run that takes a quarter of an hour. */
export function describeHour({ bytes, peers }: Hour): string {
  const megabytes = (value: number): string => `${(value / 1e6).toFixed(2)} MB`;
  const others = peers.map(({ title, grownBytes }) => `${title} ${megabytes(grownBytes)}`);
  return `  sent ${megabytes(bytes.linkBytes)}; grown by: ${others.join(', ') || 'no peer'}`;
}

function bytesTable(hours: readonly Hour[]): ResultTable {
  const titles = hours[0]?.peers.map(({ title }) => title) ?? [];
  const columns: Column[] = [
    { id: 'hour', title: 'HOUR', unit: 'text' },
    { id: 'dumpBytes', title: 'DUMP', unit: 'bytes' },
    { id: 'changedRows', title: 'ROWS CHANGED', unit: 'count' },
    { id: 'sentBytes', title: 'SENT', unit: 'bytes' },
    { id: 'grownBytes', title: 'KEPT', unit: 'bytes' },
    ...titles.flatMap((title): Column[] => [
      { id: title, title: title.toUpperCase(), unit: 'bytes' },
      { id: `${title} ratio`, title: 'OURS', unit: 'times' },
    ]),
  ];
  const rows = hours.map((hour): Row => ({ ...bytesRow([hour]), hour: String(hour.hour) }));
  const later = hours.filter(({ hour }) => hour > 0);
  return { title: 'Bytes', columns, rows: [...rows, { ...bytesRow(later), hour: 'mean' }] };
}

/** Means over the hours; ratios of the sums. */
function bytesRow(hours: readonly Hour[]): Row {
  const mean = (value: (hour: Hour) => number): number => sum(hours.map(value)) / hours.length;
  const sentBytes = mean((hour) => hour.bytes.linkBytes);
  const row: Record<string, number> = {
    dumpBytes: mean((hour) => hour.dumpBytes),
    changedRows: Math.round(mean((hour) => hour.changedRows)),
    sentBytes,
    grownBytes: mean((hour) => hour.bytes.grownBytes),
  };
  for (const { title } of hours[0]?.peers ?? []) {
    const peerBytes = mean((hour) => peerOf(hour, title)?.grownBytes ?? 0);
    row[title] = peerBytes;
    row[`${title} ratio`] = sentBytes / peerBytes;
  }
  return row;
}

function timeTable(later: readonly Hour[], firstRuns: readonly FirstRun[]): ResultTable {
  const columns: Column[] = [
    { id: 'what', title: 'WALL TIME', unit: 'text' },
    { id: 'wallMs', title: 'MEDIAN', unit: 'ms' },
    { id: 'ratio', title: 'OURS / THIS', unit: 'times' },
    { id: 'runs', title: 'RUNS', unit: 'count' },
  ];
  const rows: Row[] = [];
  const compare = (
    phase: string,
    ours: readonly number[],
    others: readonly [string, readonly number[]][],
  ) => {
    if (ours.length === 0) return;
    rows.push({ what: `${phase}: mastokeep`, wallMs: median(ours), ratio: null, runs: ours.length });
    for (const [title, times] of others) {
      const ratio = median(ours.map((ms, at) => ms / (times[at] ?? Number.NaN)));
      rows.push({ what: `${phase}: ${title}`, wallMs: median(times), ratio, runs: times.length });
    }
  };
  compare(
    'first, from a file',
    firstRuns.flatMap(({ ours }) => ours?.wallMs ?? []),
    firstPeers(firstRuns),
  );
  compare(
    'first, no receiver on the same processors',
    firstRuns.flatMap(({ alone }) => alone?.wallMs ?? []),
    firstPeers(firstRuns),
  );
  compare(
    'an hour later, from PostgreSQL',
    later.map((hour) => hour.postgres.wallMs),
    [['pg_dump -Fc -Z0 >/dev/null', later.map((hour) => hour.bare.wallMs)]],
  );
  const titles = later[0]?.peers.map(({ title }) => title) ?? [];
  compare(
    'an hour later, from a file',
    later.map((hour) => hour.bytes.wallMs),
    titles.map((title) => [title, later.map((hour) => peerOf(hour, title)?.took.wallMs ?? 0)]),
  );
  return { title: 'Time', columns, rows };
}

function resourcesTable(later: readonly Hour[], firstRuns: readonly FirstRun[]): ResultTable {
  const columns: Column[] = [
    { id: 'what', title: 'PROCESS', unit: 'text' },
    { id: 'cpuMs', title: 'CPU TIME', unit: 'ms' },
    { id: 'peakBytes', title: 'PEAK MEMORY', unit: 'bytes' },
  ];
  const rows: Row[] = [];
  const add = (what: string, runs: readonly { cpuMs: number; peakBytes: number }[]): void => {
    if (runs.length === 0) return;
    const peakBytes = Math.max(...runs.map((run) => run.peakBytes));
    rows.push({ what, cpuMs: median(runs.map(({ cpuMs }) => cpuMs)), peakBytes });
  };
  const firsts = firstRuns.flatMap(({ ours }) => ours ?? []);
  add(
    'first: agent',
    firsts.map(({ agent }) => agent),
  );
  add(
    'first: receiver',
    firsts.map(({ receiver }) => receiver),
  );
  add(
    'first, no receiver: agent',
    firstRuns.flatMap(({ alone }) => alone?.agent ?? []),
  );
  for (const { title } of firstRuns[0]?.peers ?? [])
    add(
      `first: ${title}`,
      firstRuns.flatMap(({ peers }) => peers.filter((peer) => peer.title === title).map(({ took }) => took)),
    );
  add(
    'hour, from PostgreSQL: agent',
    later.map(({ postgres }) => postgres.agent),
  );
  add(
    'hour, from PostgreSQL: pg_dump alone',
    later.map(({ bare }) => bare),
  );
  add(
    'hour, from a file: agent',
    later.map(({ bytes }) => bytes.agent),
  );
  add(
    'hour, from a file: receiver',
    later.map(({ bytes }) => bytes.receiver),
  );
  for (const { title } of later[0]?.peers ?? [])
    add(
      `hour, from a file: ${title}`,
      later.flatMap((hour) => peerOf(hour, title)?.took ?? []),
    );
  return { title: 'CPU time (median) and peak memory (largest)', columns, rows };
}

function growthGoals(later: readonly Hour[]): Goal[] {
  const sent = sum(later.map(({ bytes }) => bytes.linkBytes));
  return Object.entries(growthLimits).map(([title, limit]) => {
    const grown = sum(later.map((hour) => peerOf(hour, title)?.grownBytes ?? 0));
    return {
      what: `sent an hour / growth of ${title}`,
      measured: grown === 0 ? null : sent / grown,
      limit,
      unit: 'times',
    };
  });
}

function timeGoals(later: readonly Hour[], firstRuns: readonly FirstRun[]): Goal[] {
  const restic = firstPeers(firstRuns).find(([title]) => title === 'restic')?.[1];
  const toRestic = (times: readonly number[]): number | null =>
    restic === undefined || times.length === 0
      ? null
      : median(times.map((ms, at) => ms / (restic[at] ?? Number.NaN)));
  return [
    {
      what: 'dump with little changed / pg_dump alone, wall time',
      measured:
        later.length === 0 ? null : median(later.map(({ postgres, bare }) => postgres.wallMs / bare.wallMs)),
      limit: littleChangedLimit,
      unit: 'times',
    },
    {
      what: 'first dump / restic, wall time',
      measured: toRestic(firstRuns.flatMap(({ ours }) => ours?.wallMs ?? [])),
      limit: firstLimit,
      unit: 'times',
    },
    {
      what: 'first dump / restic, wall time, no receiver on the same processors',
      measured: toRestic(firstRuns.flatMap(({ alone }) => alone?.wallMs ?? [])),
      limit: firstLimit,
      unit: 'times',
    },
  ];
}

function firstPeers(firstRuns: readonly FirstRun[]): [string, number[]][] {
  const titles = [...new Set(firstRuns.flatMap(({ peers }) => peers.map(({ title }) => title)))];
  return titles.map((title) => [
    title,
    firstRuns.map(({ peers }) => peers.find((peer) => peer.title === title)?.took.wallMs ?? Number.NaN),
  ]);
}

function peerOf(hour: Hour, title: string) {
  return hour.peers.find((peer) => peer.title === title);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
