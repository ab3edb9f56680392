import path from 'node:path';
import type { AlarmBoard } from '../shared/alarm-board.ts';
import { isCoded } from '../shared/errors/coded-error.ts';
import { shortDeviceId, type DeviceId } from '../shared/identity/device-id.ts';
import type { Logger } from '../shared/io/logger.ts';
import type { AgentCopies, AgentStore } from './agent-copies.ts';
import type { AgentSessions } from './agent-sessions.ts';
import type { ReceiverConfig } from './config.ts';
import type { PointBooks } from './point-books.ts';
import { BooksThreads } from './scrub/books-threads.ts';
import { FolderSubject } from './scrub/folder-subject.ts';
import { pointsSubject } from './scrub/points-subject.ts';
import { ScrubMemory } from './scrub/scrub-memory.ts';
import type { ScrubSubject } from './scrub/scrub-subject.ts';
import { Scrubber } from './scrub/scrubber.ts';

type Deps = {
  copies: AgentCopies;
  points: PointBooks;
  alarms: AlarmBoard;
  logger: Logger;
  config: Pick<ReceiverConfig, 'data' | 'scrub'>;
  /** Null where the receiver does not run: nobody can be asked for anything then. */
  sessions: AgentSessions | null;
};

/** The scrub over all folders and restore points of all agents. */
export function createScrubber(deps: Deps): Scrubber {
  const { alarms, config, copies, logger, points } = deps;
  const threads = new BooksThreads();
  const subjects = (): ScrubSubject[] => {
    const all: ScrubSubject[] = [];
    for (const agentId of copies.agentIds()) {
      for (const [folder, store] of copies.foldersOf(agentId))
        all.push(folderSubject(deps, threads, agentId, folder, store));
      all.push(...pointsOf(deps, agentId));
    }
    return all.sort((a, b) => (a.key < b.key ? -1 : 1));
  };
  const memory = new ScrubMemory({ file: path.join(config.data, 'scrub.json') });
  const clocks = { now: () => Date.now(), steadyNow: () => performance.now() };
  const isHere = (): boolean => !copies.places.isDiskGone();
  const isPartHidden = (): boolean => {
    try {
      return copies.closed().length > 0 || copies.agentIds().some((agentId) => points.isHidden(agentId));
    } catch (error) {
      // what the disk does not list may be anything
      if (isCoded(error, 'DISK_FAILED')) return true;
      throw error;
    }
  };
  const onStop = (): void => threads.close();
  return new Scrubber(
    { subjects, memory, isHere, isPartHidden, alarms, logger, onStop, ...clocks },
    config.scrub,
  );
}

function folderSubject(
  deps: Deps,
  threads: BooksThreads,
  agentId: DeviceId,
  folder: string,
  store: AgentStore,
): ScrubSubject {
  const { alarms, copies, sessions } = deps;
  const name = `folder ${folder} of agent ${shortDeviceId(agentId)}`;
  const rebuild = async (): Promise<unknown> => copies.reindex(agentId, folder);
  return new FolderSubject(
    {
      store,
      fetchAgain: async (records) => (await sessions?.fetchAgain(agentId, folder, records)) ?? false,
      rebuild: async () => (sessions === null ? rebuild() : sessions.withoutSession(agentId, rebuild)),
      checkBooks: async (input, onBegun) => threads.check(input, onBegun),
      onBooks: (code, what) => {
        const key = `books ${agentId}/${folder}`;
        alarms.raise(key, code, `${name}: ${what}; it is made anew`);
        return () => alarms.clear(key);
      },
    },
    { key: `${agentId}/folders/${folder}`, name },
  );
}

/** None before the points of the agent were opened. */
function pointsOf({ copies, points }: Deps, agentId: DeviceId): ScrubSubject[] {
  const book = points.opened(agentId);
  if (book === null) return [];
  return [
    pointsSubject(
      {
        scrub: async () => {
          const { mended, extras } = await (await points.of(agentId)).scrub();
          const succession = copies.successions.mend(agentId) ? ['succession.json'] : [];
          return { extras, mended: [...mended, ...copies.mendKeys(agentId), ...succession] };
        },
        damaged: () => book.damaged,
        extras: () => book.extras(),
      },
      { key: `${agentId}/points`, name: `restore points of agent ${shortDeviceId(agentId)}` },
    ),
  ];
}
