import { CodedError, isCoded } from '../errors/coded-error.ts';
import type { DeviceId } from '../identity/device-id.ts';
import type { DeviceIdentity } from '../identity/device-identity.ts';
import type { Logger } from '../io/logger.ts';
import { formatAddress, type Address } from './address.ts';
import { backoffMs } from './backoff.ts';
import type { Channel } from './channel.ts';
import { systemClock, type Clock } from './clock.ts';
import { choosesArriving, type LinkOrigin } from './crossing.ts';
import { dialPeer } from './link-dialer.ts';
import type { LinkLimits } from './link-limits.ts';
import { LinkServer } from './link-server.ts';
import type { PeerBook, PeerChange } from './peer-book.ts';
import type { Peer } from './peer.ts';
import type { WebSocketChannel } from './web-socket-channel.ts';

type Deps = {
  identity: DeviceIdentity;
  book: PeerBook;
  logger: Logger;
  /** Called with each channel that came up, in the turn in which it did; the one before to the same peer is cut by then. */
  onChannel: (channel: Channel, peer: Peer) => void;
  clock?: Clock;
  /** In [0, 1), for the jitter of the back-off. */
  random?: () => number;
};

/** A paired device as `status` shows it. `problem` is why dialling failed last, null when it did not. */
export type PeerLinkStatus = {
  readonly peer: Peer;
  readonly connectedSince: number | null;
  readonly remoteAddress: string | null;
  readonly problem: CodedError | null;
};

type LiveLink = LinkOrigin & { channel: WebSocketChannel; peer: Peer; progressMark: number };
type DialLoop = { abort: AbortController; addresses: string; ended: Promise<void> };

/** Bytes in which two devices greet each other; a link that moved no more made no progress. */
const greetingBytes = 4096;

/**
 * Keeps one link to every paired device: accepts those that dial, dials those that have addresses, for ever, with
 * back-off. At most one channel to a peer is live. A channel ends at once when its pairing does.
 */
export class PeerLinks {
  readonly #deps: Deps;
  readonly #options: { listen: readonly Address[]; limits: LinkLimits };
  readonly #clock: Clock;
  readonly #live = new Map<DeviceId, LiveLink>();
  readonly #loops = new Map<DeviceId, DialLoop>();
  readonly #problems = new Map<DeviceId, CodedError>();
  readonly #endings = new Set<Promise<unknown>>();
  #servers: LinkServer[] = [];
  #upkeep: NodeJS.Timeout | null = null;
  #forgetBook: () => void = () => {};
  #running = false;

  constructor(deps: Deps, options: { listen: readonly Address[]; limits: LinkLimits }) {
    this.#deps = deps;
    this.#options = options;
    this.#clock = deps.clock ?? systemClock;
  }

  /**
   * Listens on every address, then begins to dial. Resolves with the bound addresses (real ports), as texts.
   * @throws CodedError LISTEN_FAILED (then nothing is left open)
   */
  async start(): Promise<string[]> {
    const { book, identity, logger } = this.#deps;
    this.#running = true;
    const bound: string[] = [];
    try {
      for (const address of this.#options.listen) {
        const server = new LinkServer(
          {
            identity,
            book,
            logger,
            onChannel: (channel) => this.#adopt(channel, channel.peerId),
            now: () => this.#clock.now(),
          },
          { address, limits: this.#options.limits },
        );
        bound.push(formatAddress(await server.start()));
        this.#servers.push(server);
      }
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#forgetBook = book.onChange((deviceId, change) => this.#followBook(deviceId, change));
    this.#upkeep = setInterval(() => this.#keepUp(), this.#options.limits.expiryIntervalMs);
    for (const peer of book.peers()) this.#followBook(peer.deviceId, 'other');
    return bound;
  }

  /** Ends every channel in order, listening and dialling; resolves with nothing left open. */
  async stop(): Promise<void> {
    this.#running = false;
    this.#forgetBook();
    if (this.#upkeep !== null) clearInterval(this.#upkeep);
    const loops = [...this.#loops.values()];
    for (const loop of loops) loop.abort.abort();
    this.#loops.clear();
    for (const { channel } of this.#live.values()) channel.close();
    await Promise.all([
      ...this.#servers.map(async (server) => server.stop()),
      ...loops.map(async (loop) => loop.ended),
      ...this.#endings,
    ]);
    this.#servers = [];
  }

  /** Every paired device and its link. */
  status(): PeerLinkStatus[] {
    return this.#deps.book.peers().map((peer) => {
      const live = this.#live.get(peer.deviceId);
      return {
        peer,
        connectedSince: live?.openedAt ?? null,
        remoteAddress: live?.channel.remoteAddress ?? null,
        problem: live === undefined ? (this.#problems.get(peer.deviceId) ?? null) : null,
      };
    });
  }

  isConnected(deviceId: DeviceId): boolean {
    return this.#live.has(deviceId);
  }

  #adopt(channel: WebSocketChannel, dialledBy: DeviceId): void {
    this.#track(channel.closed);
    const peer = this.#deps.book.get(channel.peerId);
    if (!this.#running || peer === null || !channel.isAllowedBy(peer)) {
      channel.terminate(new CodedError('LINK_UNPAIRED', 'the pairing ended while the link came up'));
      return;
    }
    const arriving = { channel, peer, dialledBy, openedAt: this.#clock.now(), progressMark: greetingBytes };
    const existing = this.#live.get(peer.deviceId);
    if (existing !== undefined) {
      if (!choosesArriving(existing, arriving, this.#options.limits)) {
        channel.terminate(new CodedError('LINK_CLOSED', 'another link to the same device stays'));
        return;
      }
      existing.channel.terminate(
        new CodedError('LINK_CLOSED', 'a newer link to the same device replaced it'),
      );
    }
    this.#live.set(peer.deviceId, arriving);
    this.#problems.delete(peer.deviceId);
    const fields = { deviceId: peer.deviceId, role: peer.role, remote: channel.remoteAddress };
    this.#deps.logger.info({ ...fields, dialledHere: dialledBy !== peer.deviceId }, 'connected');
    this.#track(channel.closed.then((reason) => this.#forget(arriving, reason)));
    this.#deps.onChannel(channel, peer);
  }

  #forget(link: LiveLink, reason: CodedError | null): void {
    const { deviceId } = link.peer;
    this.#noteProgress(link);
    if (this.#live.get(deviceId) === link) this.#live.delete(deviceId);
    const fields = { deviceId, bytesSent: link.channel.bytesSent, bytesReceived: link.channel.bytesReceived };
    if (reason === null) this.#deps.logger.info(fields, 'disconnected');
    else this.#deps.logger.warn({ ...fields, code: reason.code, reason: reason.message }, 'disconnected');
  }

  /** A pairing has begun, changed or ended. */
  #followBook(deviceId: DeviceId, change: PeerChange): void {
    const peer = this.#deps.book.get(deviceId);
    const live = this.#live.get(deviceId);
    if (live !== undefined && !live.channel.isAllowedBy(peer)) {
      live.channel.terminate(new CodedError('LINK_UNPAIRED', `the pairing with ${deviceId} has ended`));
    }
    const addresses = peer?.addresses.join(' ') ?? '';
    const loop = this.#loops.get(deviceId);
    if (loop?.addresses === addresses) return;
    loop?.abort.abort();
    this.#loops.delete(deviceId);
    if (addresses === '' || !this.#running) return;
    const abort = new AbortController();
    // a device that has just joined dials by itself: two links at once would only cross
    const waitMs = change === 'joined' ? this.#options.limits.crossingMs : 0;
    const ended = this.#dialForEver(deviceId, waitMs, abort.signal);
    this.#track(ended);
    this.#loops.set(deviceId, { abort, addresses, ended });
  }

  async #dialForEver(deviceId: DeviceId, waitMs: number, signal: AbortSignal): Promise<void> {
    const { limits } = this.#options;
    const random = this.#deps.random ?? Math.random;
    if (waitMs > 0) await this.#clock.sleep(waitMs, signal);
    let failures = 0;
    while (!signal.aborted) {
      const live = this.#live.get(deviceId);
      if (live !== undefined) {
        await endOf(live.channel.closed, signal);
        failures = this.#wasOfUse(live) ? 1 : failures + 1;
        // the channel's own listener takes it off the list in this same turn
        await Promise.resolve();
        continue;
      }
      if (failures > 0) {
        const wait = backoffMs(failures, random(), {
          minMs: limits.backoffMinMs,
          maxMs: limits.backoffMaxMs,
        });
        await this.#clock.sleep(wait, signal);
      }
      const peer = this.#deps.book.get(deviceId);
      if (signal.aborted || peer === null) return;
      if (this.#live.has(deviceId)) continue;
      try {
        const channel = await dialPeer(this.#deps, peer, { limits, signal });
        this.#adopt(channel, this.#deps.identity.deviceId);
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        this.#noteProblem(deviceId, error);
      }
    }
  }

  /** A link that lived for a while or moved more than greetings: one that is refused after each greeting is none. */
  #wasOfUse({ channel, openedAt }: LiveLink): boolean {
    const moved = channel.bytesSent + channel.bytesReceived;
    return moved > greetingBytes || this.#clock.now() - openedAt >= this.#options.limits.steadyAfterMs;
  }

  /** The first failure of a kind is news, its repetitions are not. */
  #noteProblem(deviceId: DeviceId, error: unknown): void {
    const coded = isCoded(error) ? error : new CodedError('INTERNAL', String(error), { cause: error });
    const known = this.#problems.get(deviceId);
    this.#problems.set(deviceId, coded);
    const fields = { deviceId, code: coded.code, reason: coded.message };
    if (known?.code === coded.code) this.#deps.logger.debug(fields, 'dialling failed again');
    else this.#deps.logger.warn(fields, 'dialling failed; it goes on trying');
  }

  #keepUp(): void {
    for (const link of this.#live.values()) this.#noteProgress(link);
    this.#keepBook((book) => book.expire());
  }

  /** Keeps a restore grant alive that moves data; also at the end of each link, as a bad network may end them all early. */
  #noteProgress(link: LiveLink): void {
    const moved = link.channel.bytesSent + link.channel.bytesReceived;
    if (moved <= link.progressMark) return;
    link.progressMark = moved;
    this.#keepBook((book) => book.noteProgress(link.peer.deviceId));
  }

  #keepBook(change: (book: PeerBook) => void): void {
    const { book, logger } = this.#deps;
    try {
      change(book);
    } catch (error) {
      const code = isCoded(error) ? error.code : 'INTERNAL';
      logger.error({ code, reason: String(error) }, 'the paired devices could not be kept up');
    }
  }

  #track(ending: Promise<unknown>): void {
    this.#endings.add(ending);
    void ending.finally(() => this.#endings.delete(ending));
  }
}

async function endOf(closed: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  const onAbort = () => resolve();
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) resolve();
  await Promise.race([closed, aborted]);
  signal.removeEventListener('abort', onAbort);
}
