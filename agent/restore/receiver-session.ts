import { CodedError } from '../../shared/errors/coded-error.ts';
import { type ErrorCode, errorTable } from '../../shared/errors/error-table.ts';
import type { Channel } from '../../shared/link/channel.ts';
import type { Browse } from '../../shared/protocol/browse.ts';
import type { Entries } from '../../shared/protocol/entries.ts';
import type { HeldPoints } from '../../shared/protocol/held-points.ts';
import type { LackingPaths } from '../../shared/protocol/lacking-paths.ts';
import { limits } from '../../shared/protocol/limits.ts';
import type { Refuse } from '../../shared/protocol/refuse.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { AskingLink, type OtherMessage } from '../../shared/transfer/asking-link.ts';
import type { ContentFetcher } from '../../shared/transfer/content-fetcher.ts';
import { asCoded } from '../../shared/transfer/message-link.ts';
import { PageRequests } from './page-requests.ts';

export type BrowsePage = Omit<Entries, 'requestId'>;

/**
 * The restorer's end of one link: browses, and fetches content through `fetcher`. Whatever the receiver sends that was
 * not asked for ends the link.
 */
export class ReceiverSession {
  readonly fetcher: ContentFetcher;
  /** Resolves with the reason when the session is over; nothing can be asked any more. */
  readonly ended: Promise<CodedError>;
  readonly #channel: Channel;
  readonly #link: AskingLink;
  readonly #browses: PageRequests<Entries>;
  readonly #pointPages: PageRequests<HeldPoints>;
  readonly #lackingPages: PageRequests<LackingPaths>;
  #endReason: CodedError | null = null;

  /** Takes over the channel. */
  constructor(channel: Channel, options: { programVersion: string; answerTimeoutMs: number }) {
    const { programVersion, answerTimeoutMs } = options;
    this.#channel = channel;
    this.#link = new AskingLink(channel, {
      own: { program: 'mastokeep-agent', programVersion, deviceRole: 'restorer' },
      peerRole: 'receiver',
      answerTimeoutMs,
    });
    this.#browses = new PageRequests(this.#link.deadline, 'entries');
    this.#pointPages = new PageRequests(this.#link.deadline, 'restore points');
    this.#lackingPages = new PageRequests(this.#link.deadline, 'paths');
    this.fetcher = this.#link.fetcher;
    this.ended = this.#run();
  }

  /** A page of a folder's entries, or the folders; checked against what was asked. @throws CodedError PROTOCOL_VIOLATION, LINK_CLOSED, what the receiver refuses with */
  async browse(query: {
    folder: string | null;
    at: number | null;
    between?: NonNullable<Browse['between']>;
    after: RelativePath | null;
  }): Promise<BrowsePage> {
    if (this.#endReason !== null) throw this.#endReason;
    const requestId = this.fetcher.takeRequestId();
    const between = query.between ?? null;
    const page = await this.#browses.ask(requestId, async () =>
      this.#link.send({ type: 'browse', requestId, ...query, between, limit: limits.entriesPageMax }),
    );
    this.#assertNone(pageProblem(page, query));
    return page;
  }

  /** A page of the restore points whose names sort later; not checked yet. @throws CodedError as `browse` */
  async browsePoints(after: string | null): Promise<Omit<HeldPoints, 'requestId'>> {
    if (this.#endReason !== null) throw this.#endReason;
    const requestId = this.fetcher.takeRequestId();
    return this.#pointPages.ask(requestId, async () =>
      this.#link.send({ type: 'browsePoints', requestId, after, limit: limits.pointsPageMax }),
    );
  }

  /** A page of the files that a point lacks of a mirror folder; checked against what was asked. @throws CodedError as `browse`, POINT_UNKNOWN */
  async browseLacking(query: {
    point: string;
    folder: string;
    after: RelativePath | null;
  }): Promise<Omit<LackingPaths, 'requestId'>> {
    if (this.#endReason !== null) throw this.#endReason;
    const requestId = this.fetcher.takeRequestId();
    const page = await this.#lackingPages.ask(requestId, async () =>
      this.#link.send({ type: 'browseLacking', requestId, ...query, limit: limits.lackingPageMax }),
    );
    this.#assertNone(orderProblem(page.paths, page.next, query.after));
    return page;
  }

  /** What the receiver answered with that cannot be ends the link. */
  #assertNone(problem: string | null): void {
    if (problem === null) return;
    const violation = new CodedError('PROTOCOL_VIOLATION', `the receiver answered with ${problem}`);
    this.close(violation);
    throw violation;
  }

  close(reason?: CodedError): void {
    this.#finish(reason ?? new CodedError('LINK_CLOSED', 'the restore ended the link'), reason ?? null);
  }

  async #run(): Promise<CodedError> {
    try {
      await this.#link.receiveAll((message) => this.#take(message));
      const reason = await this.#channel.closed;
      return this.#finish(reason ?? new CodedError('LINK_CLOSED', 'the receiver ended the link'), null);
    } catch (error) {
      const coded = asCoded(error);
      return this.#finish(coded, coded);
    }
  }

  #take(message: OtherMessage): void {
    switch (message.type) {
      case 'entries':
        this.#browses.take(message);
        return;
      case 'heldPoints':
        this.#pointPages.take(message);
        return;
      case 'lackingPaths':
        this.#lackingPages.take(message);
        return;
      case 'refuse':
        throw refusal(message);
      case 'offer':
      case 'subscribe':
      case 'records':
      case 'indexEnd':
      case 'durable':
      case 'missing':
      case 'point':
      case 'pointTaken':
      case 'want':
      case 'wantChunks':
      case 'browse':
      case 'browsePoints':
      case 'browseLacking':
        throw new CodedError('PROTOCOL_VIOLATION', `the receiver sent ${message.type} to a restore`);
    }
  }

  #finish(reason: CodedError, told: CodedError | null): CodedError {
    if (this.#endReason !== null) return this.#endReason;
    this.#endReason = reason;
    this.#link.end(reason, told);
    this.#browses.fail(reason);
    this.#pointPages.fail(reason);
    this.#lackingPages.fail(reason);
    return reason;
  }
}

/** Why a page cannot be the answer, or null. */
function pageProblem(
  page: Entries,
  query: { folder: string | null; at: number | null; after: RelativePath | null },
): string | null {
  if (query.folder === null) {
    if (page.folders === null || page.entries.length > 0 || page.next !== null)
      return 'something else than folders';
    return new Set(page.folders.map(({ id }) => id)).size < page.folders.length ? 'a folder twice' : null;
  }
  if (page.folders !== null) return 'folders where entries were asked for';
  if (query.at !== null && page.at !== query.at) return 'the state of another moment';
  return orderProblem(
    page.entries.map(({ path }) => path),
    page.next,
    query.after,
  );
}

/** Paths must rise from page to page, so that no listing can go on for ever unnoticed. */
function orderProblem(
  paths: readonly RelativePath[],
  next: RelativePath | null,
  after: RelativePath | null,
): string | null {
  let last = after;
  for (const path of paths) {
    if (last !== null && path <= last) return 'entries that are not in order';
    last = path;
  }
  return next !== null && (paths.length === 0 || next !== last) ? 'a listing that does not go on' : null;
}

function refusal({ code, message, hint }: Refuse): CodedError {
  const known: ErrorCode | null = Object.hasOwn(errorTable, code) ? (code as ErrorCode) : null;
  const told = known !== null && errorTable[known].crossesWire ? known : 'PROTOCOL_VIOLATION';
  const otherVersion = 'the programs here and there may be of different versions: update the older one';
  const help = hint ?? (told === 'PROTOCOL_VIOLATION' ? otherVersion : null);
  return new CodedError(told, `the receiver refused: ${message}`, help === null ? {} : { hint: help });
}
