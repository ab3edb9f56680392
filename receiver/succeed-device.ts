import fs from 'node:fs';
import path from 'node:path';
import { CodedError } from '../shared/errors/coded-error.ts';
import { completeDeviceId, resolveDeviceId, type DeviceId } from '../shared/identity/device-id.ts';
import { syncDirectory } from '../shared/io/atomic-file.ts';
import { crashPoint } from '../shared/io/crash-point.ts';
import type { PeerBook } from '../shared/link/peer-book.ts';
import type { AgentCopies } from './agent-copies.ts';

/** `folders`: of which the new device goes on. `already`: it did before. */
export type Succeeded = { old: DeviceId; new: DeviceId; folders: string[]; already: boolean };

type Deps = {
  copies: AgentCopies;
  book: PeerBook;
  dataDirectory: string;
  /** The receiver's own ID. */
  self: DeviceId;
  isConnected: (deviceId: DeviceId) => boolean;
  /** Runs the action while nothing is pulled from that device. */
  withoutSession: <Result>(deviceId: DeviceId, action: () => Promise<Result>) => Promise<Result>;
  /** ms since 1970. */
  now: () => number;
};

/**
 * A rebuilt server, `next`, goes on with the data of the one that it stands for, `old`: with its folders, their versions
 * and its restore points, where they lie. One write decides it; cut off before or behind that, and said again, it comes to
 * the same. Durable when it resolves. `old` may be shortened, and `next` where it is paired.
 * @throws CodedError DEVICE_UNKNOWN, DEVICE_ID_INVALID, SUCCESSION_REFUSED, HOME_INVALID, DISK_FAILED
 */
export async function succeedDevice(deps: Deps, texts: { old: string; next: string }): Promise<Succeeded> {
  const { copies, book } = deps;
  const { successions } = copies;
  const homes = copies.agentIds();
  const known = [
    ...book.peers().map(({ deviceId }) => deviceId),
    ...homes.flatMap((home) => successions.devicesOf(home)),
  ];
  const old = resolveDeviceId(texts.old, known);
  const next = completeDeviceId(texts.next, known);
  const home = successions.homeOf(old);
  if (old === next)
    throw refusal('both IDs are of one device', 'name the old device first, then the new one');
  if (!copies.places.holdsOf(home))
    throw refusal(
      `nothing is held of device ${old}`,
      'there is nothing to go on with: pair with the new one',
    );
  const pair = { home, old, next };
  // the session that is ended then may be that of the old one
  if (!isDone(deps, pair)) assertMay(deps, pair);
  return deps.withoutSession(successions.homeOf(next), async () => {
    const already = isDone(deps, pair);
    if (!already) {
      assertMay(deps, pair);
      adoptKey(deps, home, next);
      crashPoint('succession.key-adopted');
      // one that never came signed nothing
      const replacesLast = home !== old && copies.agentKey(home) === null;
      successions.add(home, next, { since: deps.now(), replacesLast });
      crashPoint('succession.written');
    }
    removeEmptyHome(deps, next);
    stopDialling(book, old);
    return { old, new: next, folders: copies.foldersOf(home).map(([id]) => id), already };
  });
}

type Pair = { home: DeviceId; old: DeviceId; next: DeviceId };

function isDone({ copies: { successions } }: Deps, { home, old, next }: Pair): boolean {
  const current = successions.currentOf(home);
  if (current === next) return true;
  if (current === old) return false;
  throw refusal(
    `device ${current} goes on with the data of ${old} already`,
    `say "succeed ${current} ${next}" if ${next} goes on after that one`,
  );
}

function assertMay(
  { copies, book, isConnected, dataDirectory, self }: Deps,
  { home, old, next }: Pair,
): void {
  if (isConnected(old)) {
    throw refusal(
      `device ${old} is connected: it is not lost`,
      'stop the agent there first, or if it is no longer yours: "mastokeep-receiver unpair" it',
    );
  }
  if (next === self || book.get(next)?.role === 'restorer') {
    throw refusal(
      next === self ? `device ${next} is this receiver` : `device ${next} is one that restores, not an agent`,
      'the ID of the new agent is what "mastokeep-agent id" prints there',
    );
  }
  const other = copies.successions.homeOf(next);
  if (other !== next && other !== home)
    throw refusal(
      `device ${next} goes on with the data of ${other} already`,
      'a device goes on with the data of one other only',
    );
  if (other === next && next !== home && copies.places.holdsOf(next)) {
    const place = path.join(dataDirectory, next);
    throw refusal(
      `of device ${next} there are data of its own, which would be mixed with those of ${old}`,
      `where they are copies of the same server: stop the receiver, move ${place} and its databases (db/${next} in the home) away, and say it again; what is in them comes from the server again only where the old device's data lack it`,
    );
  }
}

/** Its key, if it was here already. */
function adoptKey({ copies }: Deps, home: DeviceId, next: DeviceId): void {
  const key = copies.successions.homeOf(next) === next ? copies.agentKey(next) : null;
  if (key !== null) copies.adoptKey(home, next, key.export({ type: 'spki', format: 'der' }));
}

/** What a link without any folder leaves of a device: a directory with its key. */
function removeEmptyHome({ copies, dataDirectory }: Deps, next: DeviceId): void {
  if (copies.successions.homeOf(next) === next) return;
  const directory = path.join(dataDirectory, next);
  if (!fs.existsSync(directory)) return;
  fs.rmSync(path.join(directory, 'agent.pem'), { force: true });
  crashPoint('succession.key-removed');
  if (fs.readdirSync(directory).length > 0) return;
  fs.rmdirSync(directory);
  syncDirectory(dataDirectory);
}

/** The new server may well have the address of the old one. The old one stays known, so that it can be told. */
function stopDialling(book: PeerBook, old: DeviceId): void {
  const peer = book.get(old);
  if (peer?.role === 'agent' && peer.addresses.length > 0)
    book.pair({ deviceId: old, grant: peer.grant, addresses: [] });
}

function refusal(message: string, hint: string): CodedError {
  return new CodedError('SUCCESSION_REFUSED', message, { hint });
}
