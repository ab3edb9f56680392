import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { Clock } from './clock.ts';
import type { LookRequest } from './folder-watch.ts';
import type { QuietDirectories } from './quiet-directories.ts';
import { SettleQueue } from './settle-queue.ts';
import { signatureOf } from './signature.ts';
import { lookAtDirectory, lookAtPath, type LookContext } from './source-look.ts';

type Deps = Omit<LookContext, 'stillForMs'> & {
  clock: Clock;
  isNetwork: () => boolean;
  quiet: QuietDirectories;
  /** The root without links. */
  realRoot: () => string;
};

/**
 * The single places of a folder that are to be looked at again: directories that were asked for, paths that have to
 * settle, and, when nothing of these is to be done, directories that are looked at every now and then. One look is under
 * way at a time.
 */
export class FolderLooks {
  private readonly clock: Clock;
  private readonly context: LookContext;
  private readonly settling = new SettleQueue();
  private readonly requested = new Map<RelativePath, Set<string>>();
  private readonly glances = new Set<RelativePath>();
  private readonly isNetwork: () => boolean;
  private readonly quiet: QuietDirectories;
  private readonly realRoot: () => string;
  private underWay: { work: Generator<undefined, void>; settles: RelativePath | null } | null = null;

  constructor({ clock, isNetwork, quiet, realRoot, ...rest }: Deps) {
    this.clock = clock;
    this.isNetwork = isNetwork;
    this.quiet = quiet;
    this.realRoot = realRoot;
    this.context = {
      ...rest,
      stillForMs: (path, stat) =>
        this.settling.stillForMs(path, signatureOf(stat, isNetwork()), clock.monotonicMs()),
    };
  }

  /** Whether a directory is being looked at or was asked for; paths that settle have their own time. */
  get isBusy(): boolean {
    return this.underWay !== null || this.requested.size > 0 || this.glances.size > 0;
  }

  request({ directory, into }: LookRequest): void {
    const names = this.requested.get(directory) ?? new Set();
    for (const name of into) names.add(name);
    this.requested.set(directory, names);
  }

  /** Looks at these directories where a glance does not show that nothing has changed in them. */
  glance(directories: readonly RelativePath[]): void {
    this.quiet.keepOnly(directories);
    for (const directory of directories) this.glances.add(directory);
  }

  /** Looks at the path after so long, unless `settlingMax` others wait already; gives whether it is taken. */
  settle(path: RelativePath, signature: string, delayMs: number, settlingMax: number): boolean {
    if (this.settling.size >= settlingMax && !this.settling.has(path)) return false;
    this.settling.add(path, signature, delayMs, this.clock.monotonicMs());
    return true;
  }

  settlingPaths(): RelativePath[] {
    return this.settling.paths();
  }

  /** When the next path has settled (monotonic ms); null when none has to. */
  nextDueMs(): number | null {
    return this.settling.nextDueMs();
  }

  /** Makes sure that a look is under way; false when nothing is to be looked at now. */
  begin(): boolean {
    this.underWay ??= this.next();
    return this.underWay !== null;
  }

  /** Goes on with the look under way. Gives the path that has settled by it, or null. */
  advance(): RelativePath | null {
    const look = this.underWay;
    if (look === null || look.work.next().done !== true) return null;
    this.underWay = null;
    return look.settles !== null && this.settling.resolve(look.settles) ? look.settles : null;
  }

  /** Forgets all of them. */
  clear(): void {
    this.underWay?.work.return();
    this.underWay = null;
    this.requested.clear();
    this.glances.clear();
    this.quiet.clear();
    this.settling.clear();
  }

  private next(): FolderLooks['underWay'] {
    for (const [directory, into] of this.requested) {
      this.requested.delete(directory);
      return { work: lookAtDirectory(this.context, directory, into), settles: null };
    }
    const path = this.settling.takeDue(this.clock.monotonicMs());
    if (path !== null) return { work: lookAtPath(this.context, path), settles: path };
    for (const directory of this.glances) {
      this.glances.delete(directory);
      return { work: this.glanceAt(directory), settles: null };
    }
    return null;
  }

  private *glanceAt(directory: RelativePath): Generator<undefined, void> {
    // What times say on a network file system depends on two clocks and on what is cached.
    if (this.isNetwork()) {
      yield* lookAtDirectory(this.context, directory, new Set());
      return;
    }
    const root = this.realRoot();
    if (this.quiet.has(root, directory)) return;
    this.quiet.begin(root, directory);
    yield* lookAtDirectory(this.context, directory, new Set());
    this.quiet.end();
  }
}
