import { rootPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { CreateDirectoryWatcher, DirectoryWatcher, WatchEvent } from './directory-watcher.ts';
import { advanceHotSet, emptyHotSet, type HotSet, type HotSetEvent } from './hot-set.ts';

export type WatchStatus = { watching: 'ok' | 'degraded' | 'off'; reason: string | null };

/** A directory to look at, and the names in it to look into as well. */
export type LookRequest = { directory: RelativePath; into: readonly string[] };

export type FolderWatchOptions = {
  /** Directories in the hot set, at least 1. */
  hotDirectoriesMax: number;
  /** Watches at most; 0 switches watching off. */
  watchLimit: number;
};

/** Deeper directories are left to the full scans: a look walks down every component. */
const hotDepthMax = 64;

const limitCodes = new Set(['ENOSPC', 'EMFILE', 'ENFILE', 'ENOMEM']);

/**
 * A folder's hot set and the watcher that follows it. Whatever goes wrong here costs latency only: the scans find it.
 * Directories whose path is not UTF-8 or holds a backslash cannot be named to chokidar, which takes it for a slash; they
 * are looked at every minute like all hot ones.
 */
export class FolderWatch {
  private readonly options: FolderWatchOptions;
  private readonly look: (request: LookRequest) => void;
  private readonly watcher: DirectoryWatcher | null;
  private hotSet: HotSet;
  private root = '';
  private ended = false;
  private trouble: WatchStatus | null = null;
  private unwatched = 0;
  /** Hot directories that would be watched if their paths could be named. */
  private unnameable = 0;

  constructor(
    deps: {
      createWatcher: CreateDirectoryWatcher;
      look: (request: LookRequest) => void;
      /** Called after everything that the watcher told; `status` may be another one. */
      onEvent: () => void;
    },
    options: FolderWatchOptions,
  ) {
    this.options = options;
    this.look = deps.look;
    this.hotSet = emptyHotSet(Math.max(1, options.hotDirectoriesMax), options.watchLimit);
    const listen = (event: WatchEvent) => {
      this.handle(event);
      deps.onEvent();
    };
    this.watcher = options.watchLimit > 0 ? deps.createWatcher(listen) : null;
  }

  get hotDirectories(): readonly RelativePath[] {
    return this.hotSet.order;
  }

  get status(): WatchStatus {
    if (this.watcher === null) return { watching: 'off', reason: 'the limit for watches is 0' };
    if (this.trouble !== null) return this.trouble;
    if (this.unwatched > 0) {
      return { watching: 'degraded', reason: `${this.unwatched} directories could not be watched` };
    }
    if (this.unnameable === 0) return { watching: 'ok', reason: null };
    const reason = `the names of ${this.unnameable} directories cannot be watched (a backslash, or not UTF-8); they are looked at every minute`;
    return { watching: 'degraded', reason };
  }

  /** The resolved root; a new one means that every watch is to be made again. */
  setRoot(root: string): void {
    if (root === this.root) return;
    const all = this.hotSet.order;
    this.advance({ type: 'vanished', directory: rootPath });
    this.root = root;
    this.advance({ type: 'touched', directories: all });
  }

  /** Whether the watches may be on what was mounted here before: then the hot set is to be made anew. */
  get hasEnded(): boolean {
    return this.ended;
  }

  /** Lets go of every directory and watch: the source is away, or is another one now. */
  release(): void {
    if (this.ended) this.trouble = null;
    this.ended = false;
    this.advance({ type: 'vanished', directory: rootPath });
  }

  /** These directories changed, oldest first; new ones are watched first and looked at when the watch stands. */
  touched(directories: readonly RelativePath[]): void {
    const near = directories.filter((path) => path.split('/', hotDepthMax + 1).length <= hotDepthMax);
    if (near.length > 0) this.advance({ type: 'touched', directories: near });
  }

  vanished(directory: RelativePath): void {
    this.advance({ type: 'vanished', directory });
  }

  /** A full scan has found everything: what went wrong before is made good, and the watches are tried again. */
  madeGood(): void {
    if (this.watcher === null || this.trouble?.watching === 'off') return;
    this.trouble = null;
    this.unwatched = 0;
    this.advance({ type: 'restored', watchMax: this.options.watchLimit });
  }

  async close(): Promise<void> {
    await this.watcher?.close();
  }

  private advance(event: HotSetEvent): void {
    const { state, actions } = advanceHotSet(this.hotSet, event);
    this.hotSet = state;
    const absolute = (paths: RelativePath[]) =>
      paths.map((path) => this.absolute(path)).filter((path) => path !== null);
    const [unwatch, watch] = [absolute(actions.unwatch), absolute(actions.watch)];
    this.unnameable += actions.watch.length - watch.length - (actions.unwatch.length - unwatch.length);
    if (unwatch.length + watch.length > 0) this.watcher?.update(unwatch, watch);
  }

  private handle(event: WatchEvent): void {
    switch (event.type) {
      case 'watching':
        for (const path of event.directories) this.lookAt(path, []);
        return;
      case 'changed':
        for (const [path, names] of event.directories) {
          this.lookAt(
            path,
            names.map((name) => Buffer.from(name, 'utf8').toString('latin1')),
          );
        }
        return;
      case 'refused':
        this.refused(event.directories, event.code);
        return;
      case 'ended':
        if (!event.directories.includes(this.root)) return;
        this.ended = true;
        this.trouble = { watching: 'degraded', reason: 'the source was mounted anew, watches follow' };
        return;
      case 'overflow':
        this.trouble = { watching: 'degraded', reason: 'events came faster than the kernel keeps them' };
        for (const directory of this.hotSet.order) this.look({ directory, into: [] });
        return;
      case 'failed':
        this.trouble = { watching: 'off', reason: event.reason };
    }
  }

  private refused(paths: readonly string[], code: string): void {
    this.unwatched += paths.length;
    if (!limitCodes.has(code)) return;
    const directories = paths.map((path) => this.relative(path)).filter((path) => path !== null);
    this.advance({ type: 'refused', directories });
    const held = this.hotSet.watchMax;
    const setting = code === 'EMFILE' ? 'max_user_instances' : 'max_user_watches';
    const reason = `the system allows ${held} watches, ${this.options.watchLimit} are wanted (${code}; see fs.inotify.${setting})`;
    this.trouble = { watching: 'degraded', reason };
  }

  private lookAt(path: string, into: readonly string[]): void {
    const directory = this.relative(path);
    if (directory !== null) this.look({ directory, into });
  }

  private absolute(path: RelativePath): string | null {
    const bytes = Buffer.from(path, 'latin1');
    const text = bytes.toString('utf8');
    if (!Buffer.from(text, 'utf8').equals(bytes)) return null;
    const absolute = path === '' ? this.root : `${this.root === '/' ? '' : this.root}/${text}`;
    return absolute.includes('\\') ? null : absolute;
  }

  private relative(path: string): RelativePath | null {
    if (path === this.root) return rootPath;
    const prefix = this.root === '/' ? '/' : `${this.root}/`;
    if (!path.startsWith(prefix)) return null;
    return Buffer.from(path.slice(prefix.length), 'utf8').toString('latin1') as RelativePath;
  }
}
