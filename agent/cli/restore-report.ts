import { formatByteSize } from '../../shared/cli/byte-size.ts';
import { describeDuration } from '../../shared/cli/duration.ts';
import type { ToldVersion } from '../restore/open-sealed-folder.ts';
import type { RestoreResult } from '../restore/run-restore.ts';

type RestoredFolder = RestoreResult['folders'][number];

const versionsShownMax = 24;

/** What `restore` prints on stdout for people, without what failed. */
export function describeRestore(result: RestoreResult): string[] {
  const lines = result.folders.flatMap((folder) => [
    ...describeEntries(folder),
    ...describeVersion(folder),
    describeFolder(folder, result.dryRun),
  ]);
  return [...lines, `state of ${describeState(result)}, in ${describeDuration(result.durationMs)}`];
}

function describeState({ at, point }: RestoreResult): string {
  return point === null ? at : `restore point ${point.id}, made ${at}, received ${point.receivedAt}`;
}

/**
 * What is to be done with restored folders on a new server, in the order in which it works: configuration, database,
 * Redis, files, Mastodon. Empty where nothing is left to do. `database`: the database that a dump was restored into.
 */
export function describeNextSteps({ folders }: RestoreResult, database: string | null): string[] {
  const whole = folders.filter(({ failed, files, skipped }) => failed.length === 0 && files + skipped > 0);
  const steps = whole.filter(isConfiguration).map(({ target }) => configurationStep(target));
  for (const { id, target } of whole.filter((folder) => folder.version?.source === 'postgres')) {
    steps.push(
      database === null
        ? `database: createdb -T template0 NAME, then pg_restore --no-owner --jobs 4 --dbname NAME ${target}/DUMP; ` +
            `or restore again with --folder ${id} --pg-restore dbname=NAME, which does both`
        : `database: ${database} is there; grant it to Mastodon's role where that is another than yours`,
    );
  }
  steps.push(...whole.filter(isRedis).map(({ target }) => redisStep(target)));
  for (const { id, target } of whole.filter(({ version }) => version === undefined)) {
    steps.push(
      `${id}: move ${target} to where Mastodon has it (live/public/system), with its owners and modes`,
    );
  }
  if (steps.length === 0) return [];
  const numbered = [...steps, mastodonStep].map((step, index) => `  ${index + 1}. ${step}`);
  return ['', 'what comes next, in this order (docs/restore.md says more):', ...numbered];
}

const isRedis = ({ id }: RestoredFolder): boolean => /redis|valkey/.test(id);
const isConfiguration = (folder: RestoredFolder): boolean =>
  folder.version?.source === 'paths' && !isRedis(folder);

const configurationStep = (target: string): string =>
  `secrets: put what is in ${target} back in its place first, .env.production above all; Mastodon stays stopped`;
const redisStep = (target: string): string =>
  `redis: stop it, put the dump in ${target} in the place of its dump.rdb (an appendonlydir there goes aside), start it`;
const mastodonStep =
  'mastodon: start it at the version it had; then as its user, in live/: RAILS_ENV=production bin/tootctl feeds build, ' +
  'and bin/tootctl search deploy where there is Elasticsearch; media remove-orphans only when all media are back';

function describeEntries({ id, entries = [] }: RestoredFolder): string[] {
  return entries.map(({ path, kind, bytes }) => {
    const mark = { file: '', symlink: '@', directory: '/' }[kind];
    return `${formatByteSize(bytes).padStart(10)}  ${id}/${path}${mark}`;
  });
}

function describeVersion({ id, version, versions = [] }: RestoredFolder): string[] {
  if (version === undefined) return [];
  const { signer, signerVerified } = version;
  const others = versions.filter((other) => !isSame(other, version));
  return [
    ...others.slice(0, versionsShownMax).map((other) => {
      const lacking = other.packsLacking === 0 ? '' : `, ${count(other.packsLacking, 'pack')} missing`;
      return `${id}: held too: ${describeTimes(other)}, ${describeSealed(other)}${lacking}`;
    }),
    ...(others.length > versionsShownMax
      ? [`${id}: … and ${others.length - versionsShownMax} more; --json names them`]
      : []),
    `${id}: ${describeTimes(version)}, ` +
      (signerVerified ? `signed by ${signer}` : `signer unverified: ${signer}`),
  ];
}

/** Made by the server's clock, received by the receiver's: the second is what `--at` goes by. */
function describeTimes({ number, createdAt, receivedAt }: ToldVersion): string {
  return `version ${number}, made ${createdAt}, received ${receivedAt}`;
}

function isSame(a: { number: number; epoch: string }, b: { number: number; epoch: string }): boolean {
  return a.number === b.number && a.epoch === b.epoch;
}

function describeFolder(folder: RestoredFolder, dryRun: boolean): string {
  const { id, target, version, versions, skipped } = folder;
  if (version !== undefined && versions !== undefined) {
    return `${id}: ${describeSealed(version)} would be restored to ${target}; with --key its files are listed`;
  }
  const files = `${count(folder.files, 'file')}, ${formatByteSize(folder.bytes)}`;
  if (dryRun) return `${id}: ${files} would be restored to ${target}`;
  const there =
    skipped === 0 ? '' : `; ${skipped.toLocaleString('en')} ${skipped === 1 ? 'was' : 'were'} there already`;
  return `${id}: ${files} restored to ${target}${there}`;
}

function describeSealed({ packs, sealedBytes }: { packs: number; sealedBytes: number }): string {
  return `${formatByteSize(sealedBytes)} in ${count(packs, 'sealed pack')}`;
}

function count(number: number, noun: string): string {
  return `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`;
}
