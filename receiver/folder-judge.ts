import { formatByteSize } from '../shared/cli/byte-size.ts';
import { describeDuration } from '../shared/cli/duration.ts';
import type { DeviceId } from '../shared/identity/device-id.ts';
import type { AgentStore } from './agent-copies.ts';
import { shrunkenDump } from './guard/dump-shrinking.ts';
import {
  acceptanceOf,
  hitOf,
  judgedFrom,
  type FreezeState,
  type GuardCode,
  type GuardHit,
} from './guard/freeze-state.ts';
import type { GuardRules } from './guard/guard-rules.ts';
import { isMassChange, mayBeMassChange, type FileAmount, type GoneContents } from './guard/mass-change.ts';
import { packSurge } from './guard/pack-surge.ts';
import { recipientChange } from './guard/recipient-change.ts';
import { earlierDumps, usualDumpBytes, type DumpHistory } from './guard/usual-dump.ts';
import type { MirrorStore } from './store/mirror-store.ts';
import type { SealedStore, SealedVersion } from './store/sealed-store.ts';

type Deps = { now: () => number };
type Options = { rules: GuardRules };
type Judged = { folder: string; nowMs: number; state: FreezeState };
/** How much a folder has of what guards look at, and how much more or less of it is worth a look. */
type Extent = { versions: number; versionsStep: number; bytes: number; bytesStep: number };

/** Windows begin at full hours, so that what there was then has to be counted once an hour only. */
const hourMs = 3_600_000;
/** A look is worthwhile after each such part of a folder, and of what may be too much. */
const [stepsOfFolder, stepsOfSurge] = [50, 8];

/** Gathers what the guards have to know from the stores of folders, and says in people's words what they find. */
export class FolderJudge {
  readonly #deps: Deps;
  readonly #rules: GuardRules;
  readonly #lastLooks = new Map<string, Extent>();
  /** What was found last of a mirror folder; the same as long as nothing has come since. */
  readonly #gone = new Map<string, { from: number; changedAt: number; gone: GoneContents }>();
  readonly #held = new Map<string, { from: number; held: FileAmount }>();

  constructor(deps: Deps, { rules }: Options) {
    this.#deps = deps;
    this.#rules = rules;
  }

  /** Whether enough has come since the last look that a guard may find something; the first time always. */
  isWorthwhile(agentId: DeviceId, folder: string, store: AgentStore): boolean {
    const key = `${agentId}/${folder}`;
    const look = this.#extentOf(store);
    const last = this.#lastLooks.get(key);
    const isWorthwhile =
      last === undefined ||
      Math.abs(look.versions - last.versions) >= look.versionsStep ||
      Math.abs(look.bytes - last.bytes) >= look.bytesStep;
    if (isWorthwhile) this.#lastLooks.set(key, look);
    return isWorthwhile;
  }

  /** What the guards find in a folder; those that had hit before are given with what has come since. */
  async hitsOf(
    agentId: DeviceId,
    folder: string,
    store: AgentStore,
    state: FreezeState,
  ): Promise<GuardHit[]> {
    const judged = { folder, nowMs: Math.max(this.#deps.now(), store.changedAt()), state };
    if (store.kind === 'mirror') return this.#massChange(`${agentId}/${folder}`, judged, store);
    const versions = store.listVersions();
    return [
      ...this.#recipients(judged, versions),
      ...this.#dumpShrinking(judged, versions),
      ...this.#packSurge(judged, versions, store),
    ];
  }

  #extentOf(store: AgentStore): Extent {
    if (store.kind === 'sealed') {
      const { versions, bytes } = store.usage();
      const bytesStep = (this.#rules.surge?.bytes ?? Infinity) / stepsOfSurge;
      return { versions, versionsStep: 1, bytes, bytesStep };
    }
    const { files, bytes, versions, versionBytes } = store.usage();
    return {
      versions,
      versionsStep: Math.max(1, (files + versions) / stepsOfFolder),
      bytes: versionBytes,
      bytesStep: Math.max(1, (bytes + versionBytes) / stepsOfFolder),
    };
  }

  async #massChange(key: string, judged: Judged, store: MirrorStore): Promise<GuardHit[]> {
    const { changes: rule } = this.#rules;
    const from = this.#from(judged, 'MASS_CHANGE');
    if (rule === null || from === null) return [];
    const gone = await this.#goneSince(key, store, from);
    if (!mayBeMassChange(gone, rule)) return [];
    const held = await this.#heldAt(key, store, from);
    if (!isMassChange({ ...gone, held }, rule)) return [];
    const { deleted, rewritten } = gone;
    const what = `of the ${held.files} files (${formatByteSize(held.bytes)}) that folder ${judged.folder} had at ${momentOf(from)}, ${countOf(deleted)} were deleted and ${countOf(rewritten)} rewritten until ${momentOf(store.changedAt())}`;
    return [this.#hit(judged, 'MASS_CHANGE', from, what)];
  }

  async #goneSince(key: string, store: MirrorStore, from: number): Promise<GoneContents> {
    const changedAt = store.changedAt();
    const known = this.#gone.get(key);
    if (known?.from === from && known.changedAt === changedAt) return known.gone;
    const gone = await store.past.goneSince(from);
    this.#gone.set(key, { from, changedAt, gone });
    return gone;
  }

  async #heldAt(key: string, store: MirrorStore, from: number): Promise<FileAmount> {
    const known = this.#held.get(key);
    if (known?.from === from) return known.held;
    const held = await store.past.heldAt(from);
    this.#held.set(key, { from, held });
    return held;
  }

  #dumpShrinking(judged: Judged, versions: readonly SealedVersion[]): GuardHit[] {
    const { shrinking: rule } = this.#rules;
    const history = this.#history(judged, 'DUMP_SHRUNK');
    if (rule === null || history === null) return [];
    const shrunken = shrunkenDump(versions, history, rule);
    if (shrunken === null) return [];
    const { dump, usualBytes } = shrunken;
    const what = `version ${dump.number} of folder ${judged.folder} has ${formatByteSize(dump.bytes)}, where ${formatByteSize(usualBytes)} are usual`;
    return [this.#hit(judged, 'DUMP_SHRUNK', history.until, what)];
  }

  #packSurge(judged: Judged, versions: readonly SealedVersion[], store: SealedStore): GuardHit[] {
    const { surge: rule, windowMs } = this.#rules;
    const history = this.#history(judged, 'PACKS_SURGED');
    if (rule === null || history === null) return [];
    const usualBytes = usualDumpBytes(earlierDumps(versions, history));
    const surge = packSurge(store.packArrivals(history), usualBytes, rule);
    if (surge === null) return [];
    const what = `${formatByteSize(surge.received)} of new packs of folder ${judged.folder} came since ${momentOf(history.until)}, where ${formatByteSize(surge.usualBytes)} in ${describeDuration(windowMs)} are usual and a whole dump has ${formatByteSize(usualBytes ?? 0)}`;
    return [this.#hit(judged, 'PACKS_SURGED', history.until, what)];
  }

  #recipients(judged: Judged, versions: readonly SealedVersion[]): GuardHit[] {
    const { folder, state } = judged;
    if (!this.#rules.recipients) return [];
    const acceptance = acceptanceOf(state, folder, 'RECIPIENTS_CHANGED');
    const accepted = acceptance?.keyIds == null ? null : { at: acceptance.at, keyIds: acceptance.keyIds };
    const change = recipientChange(versions, accepted);
    if (change === null) return [];
    const { number, added, removed } = change;
    const came = added.length > 0 ? [`${added.join(', ')} came`] : [];
    const went = removed.length > 0 ? [`${removed.join(', ')} went`] : [];
    const what = `folder ${folder} is sealed to other keys since version ${number}: ${[...came, ...went].join(' and ')}`;
    return [this.#hit(judged, 'RECIPIENTS_CHANGED', accepted?.at ?? 0, what)];
  }

  #history(judged: Judged, code: GuardCode): DumpHistory | null {
    const until = this.#from(judged, code);
    const acceptedAt = acceptanceOf(judged.state, judged.folder, code)?.at ?? null;
    return until === null ? null : { until, acceptedAt, windowMs: this.#rules.windowMs };
  }

  /** After what moment things are judged; null for a hit that is so old that nothing more is counted to it. */
  #from({ folder, nowMs, state }: Judged, code: GuardCode): number | null {
    const { windowMs } = this.#rules;
    const windowStart = Math.floor((nowMs - windowMs) / hourMs) * hourMs;
    const from = judgedFrom(state, { folder, code }, windowStart);
    const isOver = hitOf(state, folder, code) !== null && from < nowMs - 2 * windowMs;
    return isOver ? null : from;
  }

  #hit({ folder }: Judged, code: GuardCode, from: number, what: string): GuardHit {
    return { folder, code, since: new Date(this.#deps.now()).toISOString(), from, what };
  }
}

function countOf({ files, bytes }: FileAmount): string {
  return `${files} (${formatByteSize(bytes)})`;
}

function momentOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
