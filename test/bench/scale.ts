import fs from 'node:fs';
import path from 'node:path';
import { remoteAgentCommands, type AgentStatus } from '../../agent/agent-commands.ts';
import { homeAt } from '../../shared/io/home.ts';
import { until } from '../support/until.ts';
import { ArrivalWatch } from './arrival-watch.ts';
import type { Benchmark, BenchmarkContext, BenchmarkResult, Goal, Row } from './benchmark.ts';
import { fillStore } from './filled-store.ts';
import { median } from './median.ts';
import { ProcessMeter } from './process-meter.ts';
import { makeRecordTree } from './record-tree.ts';
import { SealedPair } from './sealed-pair.ts';

const filesAtScale1 = [10_000, 100_000, 1_000_000];
/** One of a folder that takes minutes. */
const rescansOf = (files: number): number => (files < 500_000 ? 3 : 1);
const longMs = 3_600_000;
const [databaseBytesMax, scanPeakBytesMax] = [1536, 350e6];

/** What a folder of so many small files costs; see docs/performance.md#scale. */
export const scale: Benchmark = {
  name: 'scale',
  summary:
    'a folder of 10,000, 100,000 and 1,000,000 small files: indexing, rescan, memory, database, reconnect',
  run: async (context) => {
    const measured: Measured[] = [];
    for (const files of filesAtScale1)
      measured.push(await measureFolder(context, Math.ceil(files * context.scale)));
    return scaleResult(measured);
  },
};

type Used = { wallMs: number; cpuMs: number; peakBytes: number };
type Measured = {
  files: number;
  directories: number;
  /** Of the agent: from its start until the first full scan of everything is committed, and one that finds nothing new. */
  index: Used;
  rescan: Used;
  databaseBytes: number;
  /** Of the receiver: from its start until it has subscribed again where it was, and from there until a new file is durable. */
  reconnect: Used;
  receiverDatabaseBytes: number;
  newFileMs: number;
  /** Of a new file that is made right after the link was cut. */
  cutMs: number;
};

async function measureFolder({ directory, say }: BenchmarkContext, files: number): Promise<Measured> {
  const place = path.join(directory, String(files));
  const root = path.join(place, 'media');
  fs.mkdirSync(root, { recursive: true });
  fs.writeFileSync(path.join(root, 'first'), 'first');
  const pair = await SealedPair.start(path.join(place, 'mastokeep'), [], { countLink: true });
  try {
    await pair.addMirror('media', root);
    await pair.receiver.stop();
    await pair.agent.stop();
    say(`making ${files.toLocaleString('en')} files`);
    const made = makeRecordTree(root, files);
    const counted = { files: made.files + 1, directories: made.directories };
    say('indexing them');
    const agent = await measureAgent(pair, counted.files);
    await pair.agent.stop();
    const databaseBytes = fs.statSync(path.join(pair.agent.home, 'index.db')).size;
    say('writing what a receiver knows of them');
    await fillStore(path.join(pair.agent.home, 'index.db'), {
      directory: path.dirname(pair.currentDirectory('media')),
      databasePath: pair.mirrorDatabase('media'),
      agentId: pair.agentId,
      folderId: 'media',
    });
    const receiverDatabaseBytes = fs.statSync(pair.mirrorDatabase('media')).size;
    await pair.agent.start();
    await statusWhere(pair, ({ folders }) => folders[0]?.state === 'idle');
    say('connecting again');
    const receiver = await measureReceiver(pair, root);
    return { ...counted, ...agent, databaseBytes, ...receiver, receiverDatabaseBytes };
  } finally {
    await pair.stop();
    fs.rmSync(place, { recursive: true });
  }
}

async function measureAgent(pair: SealedPair, files: number): Promise<{ index: Used; rescan: Used }> {
  const begunAt = Date.now();
  const startedAt = performance.now();
  await pair.agent.start();
  const meter = new ProcessMeter(pair.agent.daemon.pid);
  await statusWhere(
    pair,
    ({ folders }) => folders[0]?.lastScanAt !== null && Date.parse(folders[0]?.lastScanAt ?? '') > begunAt,
  );
  const index = { wallMs: performance.now() - startedAt, ...meter.read() };
  const rescan: Used[] = [];
  for (let run = 0; run < rescansOf(files); run++) {
    meter.begin();
    const at = performance.now();
    const { folders } = await commandsOf(pair).scan({ folder: 'media' });
    if (folders[0]?.files !== files || folders[0].changed > 0)
      throw new Error(`a rescan finds ${folders[0]?.files} files and ${folders[0]?.changed} changes`);
    rescan.push({ wallMs: performance.now() - at, ...meter.read() });
  }
  return {
    index,
    rescan: {
      wallMs: median(rescan.map(({ wallMs }) => wallMs)),
      cpuMs: median(rescan.map(({ cpuMs }) => cpuMs)),
      peakBytes: Math.max(...rescan.map(({ peakBytes }) => peakBytes)),
    },
  };
}

async function measureReceiver(
  pair: SealedPair,
  root: string,
): Promise<Pick<Measured, 'reconnect' | 'newFileMs' | 'cutMs'>> {
  const at = performance.now();
  await pair.receiver.launch();
  const meter = new ProcessMeter(pair.receiver.daemon.pid);
  await statusWhere(pair, ({ folders: [folder], receivers: [receiver] }) => {
    const held = receiver?.folders.find(({ id }) => id === 'media');
    return receiver?.connected === true && held?.durableSequence === folder?.sequence;
  });
  const reconnect = { wallMs: performance.now() - at, ...meter.read() };
  const watch = new ArrivalWatch(
    { agentIndex: path.join(pair.agent.home, 'index.db'), receiverDatabase: pair.mirrorDatabase('media') },
    'media',
  );
  const newFile = async (name: string): Promise<number> => {
    const file = path.join(root, name);
    fs.writeFileSync(file, name);
    const closedAt = performance.now();
    const { mtimeNs } = fs.statSync(file, { bigint: true });
    return (await watch.arrival(name, mtimeNs, closedAt)).durableAt - closedAt;
  };
  try {
    const newFileMs = await newFile('second');
    pair.cutLink();
    return { reconnect, newFileMs, cutMs: await newFile('third') };
  } finally {
    watch.close();
  }
}

function commandsOf(pair: SealedPair) {
  return remoteAgentCommands(homeAt(pair.agent.home, 'agent.yaml'));
}

/** Resolves when the running agent says so. */
async function statusWhere(pair: SealedPair, is: (status: AgentStatus) => boolean): Promise<void> {
  await until('the agent is there', async () => is(await commandsOf(pair).status({})), {
    everyMs: 100,
    timeoutMs: longMs,
    explain: () => `${pair.agent.daemon.report()}\n${pair.receiver.daemon.report()}`,
  });
}

function scaleResult(measured: readonly Measured[]): BenchmarkResult {
  const largest = measured.at(-1);
  const before = measured.at(-2);
  if (largest === undefined || before === undefined) throw new Error('several sizes are measured');
  const perFile = (bytes: number, files: number): number => Math.round(bytes / files);
  const rows = measured.map(
    ({ files, directories, index, rescan, reconnect, newFileMs, cutMs, ...rest }): Row => ({
      files,
      directories,
      indexMs: index.wallMs,
      indexPerFileMs: (index.wallMs * 1000) / files,
      indexCpuMs: index.cpuMs,
      indexPeakBytes: index.peakBytes,
      databasePerFile: perFile(rest.databaseBytes, files),
      rescanMs: rescan.wallMs,
      rescanPerFile: (rescan.wallMs * 1000) / files,
      rescanCpuMs: rescan.cpuMs,
      rescanPeakBytes: rescan.peakBytes,
      reconnectMs: reconnect.wallMs,
      reconnectCpuMs: reconnect.cpuMs,
      receiverPeakBytes: reconnect.peakBytes,
      receiverDatabasePerFile: perFile(rest.receiverDatabaseBytes, files),
      newFileMs,
      cutMs,
    }),
  );
  const growth = (what: string, of: (one: Measured) => number): Goal => ({
    what: `${what} per file: ${largest.files} files / ${before.files}`,
    measured: of(largest) / largest.files / (of(before) / before.files),
    limit: 1.25,
    unit: 'times',
  });
  return {
    tables: [
      {
        title:
          'Indexing and rescan by the agent; times per file in microseconds, database of the agent per file',
        columns: [
          { id: 'files', title: 'FILES', unit: 'count' },
          { id: 'directories', title: 'DIRECTORIES', unit: 'count' },
          { id: 'indexMs', title: 'INDEX', unit: 'ms' },
          { id: 'indexPerFileMs', title: 'US A FILE', unit: 'times' },
          { id: 'indexCpuMs', title: 'CPU', unit: 'ms' },
          { id: 'indexPeakBytes', title: 'PEAK', unit: 'bytes' },
          { id: 'databasePerFile', title: 'DATABASE BYTES A FILE', unit: 'count' },
          { id: 'rescanMs', title: 'RESCAN', unit: 'ms' },
          { id: 'rescanPerFile', title: 'US A FILE', unit: 'times' },
          { id: 'rescanCpuMs', title: 'CPU', unit: 'ms' },
          { id: 'rescanPeakBytes', title: 'PEAK', unit: 'bytes' },
        ],
        rows,
      },
      {
        title:
          'A receiver that holds all of it starts and connects again; then a new file, and one right after a cut of the link',
        columns: [
          { id: 'files', title: 'FILES', unit: 'count' },
          { id: 'reconnectMs', title: 'CONNECTED', unit: 'ms' },
          { id: 'reconnectCpuMs', title: 'CPU', unit: 'ms' },
          { id: 'receiverPeakBytes', title: 'PEAK', unit: 'bytes' },
          { id: 'receiverDatabasePerFile', title: 'DATABASE BYTES A FILE', unit: 'count' },
          { id: 'newFileMs', title: 'NEW FILE', unit: 'ms' },
          { id: 'cutMs', title: 'AFTER A CUT', unit: 'ms' },
        ],
        rows,
      },
    ],
    goals: [
      {
        what: 'agent database per file',
        measured: perFile(largest.databaseBytes, largest.files),
        limit: databaseBytesMax,
        unit: 'bytes',
      },
      {
        what: `agent memory while scanning ${largest.files} files`,
        measured: Math.max(largest.index.peakBytes, largest.rescan.peakBytes),
        limit: scanPeakBytesMax,
        unit: 'bytes',
      },
      growth('index time', ({ index }) => index.wallMs),
      growth('rescan time', ({ rescan }) => rescan.wallMs),
    ],
    checks: ['each rescan found every file and no change', 'new files were durable on the receiver'],
    notes: [
      'the journal and the database of the receiver are written directly, record by record as the agent has them, without the files',
    ],
  };
}
