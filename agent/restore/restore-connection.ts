import fs from 'node:fs';
import path from 'node:path';
import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import {
  completeDeviceId,
  meansDevice,
  type DeviceId,
  type TypedDeviceId,
} from '../../shared/identity/device-id.ts';
import {
  createDeviceIdentity,
  loadDeviceIdentity,
  type DeviceIdentity,
} from '../../shared/identity/device-identity.ts';
import { giveToHomeOwner, homeAt, type Home } from '../../shared/io/home.ts';
import { lockHome, type HomeLock } from '../../shared/io/home-lock.ts';
import type { Logger } from '../../shared/io/logger.ts';
import { formatAddress, parseAddress, type Address } from '../../shared/link/address.ts';
import { advertisedAddresses } from '../../shared/link/advertised-addresses.ts';
import type { Channel } from '../../shared/link/channel.ts';
import type { LinkLimits } from '../../shared/link/link-limits.ts';
import { parseInvitation, type Invitation } from '../../shared/link/invitation.ts';
import { createInvitation, joinInvitation } from '../../shared/link/pairing.ts';
import { PeerBook } from '../../shared/link/peer-book.ts';
import { PeerLinks } from '../../shared/link/peer-links.ts';

/** How a restore comes to its receiver: it dials one, or listens for one that joins. `agent`: whose data it must offer. */
export type RestoreRoute = DialRoute | ListenRoute;
type DialRoute = { from: string; agent: TypedDeviceId | null };
type ListenRoute = { listen: Address; advertise: readonly Address[]; agent: TypedDeviceId | null };

export type RestoreConnectionDeps = {
  logger: Logger;
  /** A line for the user. */
  onNote(line: string): void;
  /** The invitation that a receiver joins with, before it is waited for. */
  onInvitation(invitation: string): void;
  /** The machine's own addresses. */
  machineAddresses(): string[];
  now: () => number;
};

/** A first link that does not come up in this time will not come up by itself. */
const firstLinkPatienceMs = 60_000;
const watchIntervalMs = 250;

/**
 * The home of the restoring device, made where it is missing: a device of its own with a key of its own in
 * `<home>/restore/`, so that a restore never disturbs an agent on the same home, and the next run is the same device.
 * Its lock is the caller's to release.
 * @throws CodedError HOME_INVALID, IDENTITY_DAMAGED, ALREADY_RUNNING (another restore)
 */
export async function prepareRestoreHome(
  agentHome: Home,
): Promise<{ home: Home; identity: DeviceIdentity; lock: HomeLock }> {
  const home = homeAt(path.join(agentHome.directory, 'restore'), 'agent.yaml');
  try {
    if (!fs.existsSync(agentHome.directory))
      fs.mkdirSync(agentHome.directory, { recursive: true, mode: 0o700 });
    if (!fs.existsSync(home.directory)) {
      fs.mkdirSync(home.directory, { mode: 0o700 });
      giveToHomeOwner(agentHome, home.directory);
    }
  } catch (cause) {
    throw new CodedError('HOME_INVALID', `${home.directory} cannot be made`, {
      hint: 'a restore keeps its key there: run it as root or as the user of the program, or name another --home DIR',
      cause,
    });
  }
  // before the identity: of two first restores at once, one makes it
  const lock = lockHome(home, 'a restore', 0);
  try {
    const hasIdentity = fs.existsSync(path.join(home.identityDirectory, 'key.pem'));
    const identity = hasIdentity
      ? loadDeviceIdentity(home.directory)
      : await createDeviceIdentity(home.directory);
    return { home, identity, lock };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/**
 * The links of one restore to its receiver, one after the other, whoever dials. Holds the lock of the restore's home.
 * @see prepareRestoreHome
 */
export class RestoreConnection {
  readonly #deps: RestoreConnectionDeps;
  readonly #book: PeerBook;
  readonly #links: PeerLinks;
  readonly #route: RestoreRoute;
  readonly #identity: DeviceIdentity;
  readonly #limits: LinkLimits;
  readonly #release: () => void;
  /** The receiver that this restore is about; in listening mode the first that comes. */
  #peerId: DeviceId | null = null;
  #arrived: Channel | null = null;
  #wake: () => void = () => {};
  #linked = false;
  #refusal: CodedError | null = null;

  private constructor(
    deps: RestoreConnectionDeps,
    parts: {
      home: Home;
      identity: DeviceIdentity;
      lock: HomeLock;
      route: RestoreRoute;
      limits: LinkLimits;
    },
  ) {
    this.#deps = deps;
    this.#route = parts.route;
    this.#identity = parts.identity;
    this.#limits = parts.limits;
    this.#release = () => parts.lock.release();
    this.#book = PeerBook.open({ file: parts.home.peersFile, self: 'restorer', now: deps.now });
    this.#links = new PeerLinks(
      {
        identity: parts.identity,
        book: this.#book,
        logger: deps.logger,
        onChannel: (channel) => this.#arrive(channel),
      },
      { listen: 'listen' in parts.route ? [parts.route.listen] : [], limits: parts.limits },
    );
  }

  /**
   * Pairs with the receiver that the route names, or opens an invitation for one.
   * @throws CodedError INVITATION_INVALID, INVITATION_REFUSED, ROLE_REFUSED, ADDRESS_INVALID, DEVICE_ID_INVALID, LISTEN_FAILED,
   *   ALREADY_RUNNING, LINK_UNREACHABLE
   */
  static async open(
    deps: RestoreConnectionDeps,
    options: { agentHome: Home; route: RestoreRoute; limits: LinkLimits },
  ): Promise<RestoreConnection> {
    const { route, limits } = options;
    const parts = await prepareRestoreHome(options.agentHome);
    const connection = new RestoreConnection(deps, { ...parts, route, limits });
    try {
      await connection.#open();
      return connection;
    } catch (error) {
      await connection.stop();
      throw error;
    }
  }

  /**
   * The next link to the receiver. Waits for it until the signal aborts, a first one for a minute at most where an
   * invitation said that the receiver can be dialled.
   * @throws CodedError the reason why no link came up; ROLE_REFUSED (another agent's data than asked for)
   */
  async nextChannel(signal: AbortSignal): Promise<Channel> {
    const since = performance.now();
    let told: string | null = null;
    for (;;) {
      signal.throwIfAborted();
      if (this.#refusal !== null) throw this.#refusal;
      const channel = this.#arrived;
      if (channel !== null) {
        this.#arrived = null;
        this.#linked = true;
        return channel;
      }
      const problem =
        this.#links.status().find(({ peer }) => peer.deviceId === this.#peerId)?.problem ?? null;
      if (
        problem !== null &&
        !this.#linked &&
        this.#isJoined() &&
        performance.now() - since > firstLinkPatienceMs
      ) {
        throw problem;
      }
      if (problem !== null && problem.code !== told) {
        told = problem.code;
        this.#deps.onNote(`${problem.message}; it goes on trying`);
      }
      await this.#nextChange(signal);
    }
  }

  /** Ends the links. The pairing stays until the grant ends, so that the same command can go on. */
  async stop(): Promise<void> {
    await this.#links.stop();
    this.#release();
  }

  async #open(): Promise<void> {
    if ('listen' in this.#route) await this.#listen(this.#route);
    else await this.#dial(this.#route.from, this.#route.agent);
  }

  async #listen(route: ListenRoute): Promise<void> {
    // Nobody is dialled; who has joined an earlier run of this command may dial again.
    for (const { deviceId, grant, addresses } of this.#book.peers()) {
      if (addresses.length > 0) this.#book.pair({ deviceId, grant, addresses: [] });
    }
    const bound = (await this.#links.start()).map(parseAddress);
    const addresses = advertisedAddresses(route.advertise, bound, this.#deps.machineAddresses());
    const invitation = createInvitation(
      { identity: this.#identity, book: this.#book },
      // Whose data it is, the receiver's owner says.
      { addresses: addresses.map(formatAddress), offer: { role: 'restore', agentId: null } },
    );
    this.#deps.onInvitation(invitation);
  }

  async #dial(from: string, agent: TypedDeviceId | null): Promise<void> {
    const invitation = /^\s*mastokeep\d+-/.test(from) ? parseInvitation(from) : null;
    const receiverId = invitation === null ? this.#pairById(from, agent) : invitation.deviceId;
    this.#peerId = receiverId;
    for (const { deviceId } of this.#book.peers()) if (deviceId !== receiverId) this.#book.unpair(deviceId);
    if (invitation !== null) await this.#join(invitation, agent);
    await this.#links.start();
  }

  /** An invitation that this device has used already, in a run that was interrupted, still leads to the receiver. */
  async #join(invitation: Invitation, agent: TypedDeviceId | null): Promise<void> {
    const { offer } = invitation;
    const offered = offer.role === 'restore' ? offer.agentId : null;
    if (offered !== null && agent !== null && !meansDevice(agent, offered)) {
      throw new CodedError(
        'ROLE_REFUSED',
        `the invitation is for the data of ${offered}, not of ${agent.text}`,
        { hint: 'leave --agent out, or ask for another invitation' },
      );
    }
    const paired = this.#book.get(invitation.deviceId) !== null;
    if (paired && invitation.expiresAt <= this.#deps.now()) return;
    try {
      const signal = AbortSignal.timeout(firstLinkPatienceMs);
      const options = { addresses: [], agentId: offered, limits: this.#limits, signal };
      await joinInvitation({ identity: this.#identity, book: this.#book }, invitation, options);
    } catch (error) {
      if (!paired || !isCoded(error, 'INVITATION_REFUSED')) throw error;
    }
  }

  #pairById(from: string, agent: TypedDeviceId | null): DeviceId {
    const at = from.indexOf('@');
    if (at < 0) {
      throw new CodedError(
        'USAGE',
        `"${from.slice(0, 80)}" is neither an invitation nor DEVICE-ID@HOST:PORT`,
      );
    }
    const receivers = this.#book.peers().map((peer) => peer.deviceId);
    const deviceId = completeDeviceId(from.slice(0, at), receivers);
    const address = formatAddress(parseAddress(from.slice(at + 1)));
    const known = this.#book.get(deviceId)?.grant;
    const before = known?.role === 'restore' ? known.agentId : this.#identity.deviceId;
    // The receiver knows whose data this device may read; what is noted here is only shown.
    const noted = agent === null ? before : (agent.whole ?? (meansDevice(agent, before) ? before : null));
    if (noted === null) {
      throw new CodedError('DEVICE_ID_INVALID', `--agent ${agent?.text ?? ''} is not a whole device ID`, {
        hint: 'a receiver that is dialled by its ID does not say whose data it gives: write the whole ID, or take an invitation',
      });
    }
    this.#book.pair({ deviceId, grant: { role: 'restore', agentId: noted }, addresses: [address] });
    const whose = agent === null ? '' : ` --agent ${noted}`;
    this.#deps.onNote(
      `this device is ${this.#identity.deviceId}; where it may not restore yet, run on the receiver:\n` +
        `  mastokeep-receiver pair ${this.#identity.deviceId} --role restore${whose}`,
    );
    return deviceId;
  }

  #isJoined(): boolean {
    return 'from' in this.#route && !this.#route.from.includes('@');
  }

  #arrive(channel: Channel): void {
    const { grant, peerId } = channel;
    this.#peerId ??= peerId;
    if (peerId !== this.#peerId || grant.role !== 'restore') {
      channel.close(new CodedError('ROLE_REFUSED', 'another receiver serves this restore'));
      return;
    }
    const { agent } = this.#route;
    if (agent !== null && !meansDevice(agent, grant.agentId)) {
      this.#refusal = new CodedError(
        'ROLE_REFUSED',
        `the receiver offers the data of ${grant.agentId}, not of ${agent.text}`,
        {
          hint: 'join again with the right --agent on the receiver',
        },
      );
      channel.close(this.#refusal);
    } else {
      this.#arrived?.close();
      this.#arrived = channel;
    }
    this.#wake();
  }

  /** A link came, or it is time to look at why none does. */
  async #nextChange(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, watchIntervalMs);
    const onAbort = (): void => resolve();
    signal.addEventListener('abort', onAbort);
    await promise;
    signal.removeEventListener('abort', onAbort);
    clearTimeout(timer);
  }
}
