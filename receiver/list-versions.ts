import { CodedError } from '../shared/errors/coded-error.ts';
import { baseName, displayPath, parseTypedPath } from '../shared/records/relative-path.ts';
import type { AgentStore } from './agent-copies.ts';
import type { SealedVersionListing, VersionListing } from './receiver-commands.ts';
import type { MirrorStore } from './store/mirror-store.ts';
import type { SealedStore } from './store/sealed-store.ts';

type Listing =
  | { kind: 'mirror'; versions: VersionListing[] }
  | { kind: 'sealed'; versions: SealedVersionListing[] };

/**
 * What is held of one file of a mirror folder, or of a sealed folder as a whole (`typed` null); newest first.
 * @throws CodedError PATH_INVALID, USAGE
 */
export function listVersions(store: AgentStore, folder: string, typed: string | null): Listing {
  if (store.kind === 'sealed') {
    if (typed === null) return { kind: 'sealed', versions: sealedVersions(store) };
    throw new CodedError(
      'USAGE',
      `folder "${folder}" is sealed: it has versions of the whole, none of a file`,
      {
        hint: `leave the path out: mastokeep-receiver versions ${folder}`,
      },
    );
  }
  if (typed !== null) return { kind: 'mirror', versions: fileVersions(store, typed) };
  throw new CodedError('USAGE', `folder "${folder}" has versions of each file: say which one`, {
    hint: `mastokeep-receiver versions ${folder} PATH`,
  });
}

function sealedVersions(store: SealedStore): SealedVersionListing[] {
  return store
    .listVersions()
    .toReversed()
    .map(({ number, epoch, createdAt, receivedAt, packs, bytes, recipients, complete }) => ({
      number,
      epoch,
      createdAt: new Date(createdAt).toISOString(),
      receivedAt: new Date(receivedAt).toISOString(),
      packs,
      bytes,
      recipients,
      complete,
    }));
}

function fileVersions(store: MirrorStore, typed: string): VersionListing[] {
  const path = parseTypedPath(typed);
  const now = store.current(path);
  const versions: VersionListing[] = store
    .listVersions(path)
    .map(({ name, state, receivedAt, replacedAt }) => ({
      name: name === null ? displayPath(baseName(path) as typeof path) : displayPath(name as typeof path),
      kind: state.kind,
      size: state.kind === 'file' ? state.size : 0,
      receivedAt: new Date(receivedAt).toISOString(),
      replacedAt: new Date(replacedAt).toISOString(),
      current: false,
    }));
  if (now === null || now.record.state.kind === 'deleted') return versions;
  const { state } = now.record;
  const current: VersionListing = {
    name: displayPath(path),
    kind: state.kind,
    size: state.kind === 'file' ? state.size : 0,
    receivedAt: new Date(now.receivedAt).toISOString(),
    replacedAt: null,
    current: true,
  };
  return [current, ...versions];
}
