import path from 'node:path';
import { z } from 'zod';
import { addressListValue, byteSizeValue, durationValue } from '../shared/cli/config-value.ts';
import { isCoded } from '../shared/errors/coded-error.ts';
import { resolveDeviceId } from '../shared/identity/device-id.ts';
import { parseConfig, readConfigText } from '../shared/io/config-file.ts';
import { yamlLibrary } from '../shared/io/yaml-library.ts';
import { formatAddress, type Address } from '../shared/link/address.ts';
import { folderIdPattern } from '../shared/records/folder-id.ts';
import type { GuardRules } from './guard/guard-rules.ts';
import { guardsValue } from './guard/guards-value.ts';
import { defaultPointRules, type PointRules } from './retention/point-retention.ts';
import type { VersionRetention } from './retention/version-retention.ts';
import { defaultScrubOptions, type ScrubOptions } from './scrub/scrub-state.ts';

/** `receiver.yaml` with every default filled in; `reload` makes changes effective. */
export type ReceiverConfig = {
  /** The directory that holds all copies, absolute. */
  data: string;
  /** Empty: this receiver only connects to others. */
  listen: Address[];
  advertise: Address[];
  /** The share of the disk that stays free, 0 to 0.5. */
  freeSpaceFloor: number;
  /** How long replaced and deleted files of mirror folders are kept beyond what kept restore points need. */
  versions: VersionRetention;
  /** The same for single folders, by device ID as written in the file and folder id. */
  folderVersions: ReadonlyMap<string, ReadonlyMap<string, VersionRetention>>;
  /** Which restore points are kept. */
  points: PointRules;
  /** What freezes the expiry of an agent until a person releases it. */
  guards: GuardRules;
  /** How what is stored is read again. */
  scrub: ScrubOptions;
  /** For agents without an entry in `quotas`; null: no limit. */
  quotaBytes: number | null;
  /** The share of a quota, 0 to 0.5, that mirror folders leave to sealed ones. */
  sealedReserve: number;
  /** By device ID as written in the file. */
  quotas: ReadonlyMap<string, number | null>;
};

const dayMs = 86_400_000;
const weekMs = 7 * dayMs;

const quotaValue = z.union([z.literal('none').transform(() => null), byteSizeValue]);

/** Of something, 0 to 0.5. */
function shareValue(whole: string, example: string): z.ZodType<number> {
  const error = `must be a share of ${whole} such as ${example}, at most 50%`;
  return z
    .union([z.string().regex(/^\s*\d+(\.\d+)?\s*%\s*$/), z.literal(0)], { error })
    .transform((value) => Number.parseFloat(String(value)) / 100)
    .refine((share) => share <= 0.5, { error });
}

const versionsValue = z
  .strictObject({
    kind: z.enum(['points', 'simple', 'trashcan', 'staggered']).default('points'),
    minAge: durationValue.default(weekMs),
    keep: z.int().min(0).max(10_000).default(5),
    cleanout: foreverOr(0),
    maxAge: foreverOr(365 * dayMs),
  })
  .transform(({ kind, minAge, keep, cleanout, maxAge }): VersionRetention => {
    const floorDays = minAge / dayMs;
    switch (kind) {
      case 'points':
        return { kind, floorDays };
      case 'simple':
        return { kind, keep, cleanoutDays: cleanout / dayMs, floorDays };
      case 'trashcan':
        return { kind, cleanoutDays: cleanout / dayMs, floorDays };
      case 'staggered':
        return { kind, maxAgeDays: maxAge / dayMs, floorDays };
    }
  });

/** A duration, or `never` for 0. */
function foreverOr(defaultMs: number) {
  return z.union([z.literal('never').transform(() => 0), z.literal(0), durationValue]).default(defaultMs);
}

const count = (max: number, byDefault: number) => z.int().min(0).max(max).default(byDefault);

const pointsValue = z.strictObject({
  hourlyDays: count(3660, defaultPointRules.hourlyDays),
  dailyDays: count(3660, defaultPointRules.dailyDays),
  weeklyWeeks: count(520, defaultPointRules.weeklyWeeks),
  monthlyMonths: count(1200, defaultPointRules.monthlyMonths),
  newestComplete: z.int().min(1).max(1000).default(defaultPointRules.newestComplete),
});

const mebibyte = 1024 * 1024;

const scrubValue = z
  .strictObject({
    every: durationValue
      .refine((ms) => ms >= dayMs && ms <= 3660 * dayMs, { error: 'must be at least 1d' })
      .default(defaultScrubOptions.periodMs),
    maxMiBPerSecond: z
      .number()
      .min(0.1)
      .max(10_000)
      .default(defaultScrubOptions.bytesPerSecondMax / mebibyte),
  })
  .transform(({ every, maxMiBPerSecond }): ScrubOptions => ({
    periodMs: every,
    bytesPerSecondMax: maxMiBPerSecond * mebibyte,
  }));

const agentValue = z.strictObject({
  quota: quotaValue.optional(),
  folders: z
    .record(z.string().regex(folderIdPattern), z.strictObject({ versions: versionsValue }))
    .default({}),
});

const configSchema: z.ZodType<ReceiverConfig> = z
  .strictObject({
    data: z
      .string({ error: 'the directory for the copies is missing' })
      .refine((value) => path.isAbsolute(value), { error: 'must be an absolute path' }),
    listen: addressListValue.default([]),
    advertise: addressListValue.default([]),
    freeSpaceFloor: shareValue('the disk', '5%').default(0.05),
    versions: versionsValue.prefault({}),
    points: pointsValue.prefault({}),
    guards: guardsValue.prefault({}),
    scrub: scrubValue.prefault({}),
    quota: quotaValue.default(null),
    sealedReserve: shareValue('a quota', '10%').default(0.1),
    agents: z.record(z.string(), agentValue).nullable().default({}),
  })
  .superRefine(({ agents }, context) => {
    for (const deviceId of Object.keys(agents ?? {})) {
      const message = deviceIdProblem(deviceId);
      if (message !== null) context.addIssue({ code: 'custom', path: ['agents', deviceId], message });
    }
  })
  .transform(({ points, quota, agents, ...rest }) => {
    const all = Object.entries(agents ?? {});
    return {
      ...rest,
      points: { ...points, floorDays: rest.versions.floorDays },
      quotaBytes: quota,
      quotas: new Map(
        all.flatMap(([deviceId, agent]) =>
          agent.quota === undefined ? [] : [[deviceId, agent.quota] as const],
        ),
      ),
      folderVersions: new Map(
        all.map(([deviceId, { folders }]) => [
          deviceId,
          new Map(Object.entries(folders).map(([folder, { versions }]) => [folder, versions])),
        ]),
      ),
    };
  });

function deviceIdProblem(text: string): string | null {
  try {
    resolveDeviceId(text, []);
  } catch (error) {
    // Of a good ID, whole or shortened, only that nobody is known who has it.
    return isCoded(error, 'DEVICE_UNKNOWN') ? null : String(error);
  }
  return null;
}

/** @throws CodedError CONFIG_INVALID */
export function readReceiverConfig(file: string): ReceiverConfig {
  return parseConfig(readConfigText(file), file, configSchema);
}

/** The same from text. @throws CodedError CONFIG_INVALID */
export function parseReceiverConfig(text: string, file: string): ReceiverConfig {
  return parseConfig(text, file, configSchema);
}

/** The file that `init` writes: every option with its default and what it does. */
export function receiverConfigText(options: {
  data: string;
  listen: readonly Address[];
  advertise: readonly Address[];
}): string {
  const document = yamlLibrary()
    .parseDocument(`# Configuration of mastokeep-receiver. Changes take effect with "mastokeep-receiver reload";
# "mastokeep-receiver config check" says whether they make sense.

# The directory that holds all copies: <data>/<agent>/<folder>/current/ and versions/ below it.
data: ""

# Where others connect to: HOST:PORT, a list of them, or off when this receiver only connects to others
# (behind a home router it usually does).
listen: off

# The addresses that invitations carry when it listens. Empty: the addresses of this machine.
advertise: []

# The share of the disk that stays free, at most 50%. At this floor nothing more is taken.
freeSpaceFloor: 5%

# Which restore points are kept: one for each hour of so many days, for each day of so many days, for each week and each
# month; in any case the newest complete ones, whatever is younger than minAge below, and pinned ones.
points:
  hourlyDays: 2
  dailyDays: 30
  weeklyWeeks: 12
  monthlyMonths: 12
  newestComplete: 3

# Replaced and deleted files are kept as versions as long as a kept restore point needs them, and at least for minAge.
# kind: points keeps no more than that. The others are Syncthing's, and keep what they would keep as well:
#   simple     the newest "keep" versions of a file, for "cleanout" (never: for ever)
#   trashcan   the newest version of a file, for "cleanout"
#   staggered  one for every 30 seconds of an hour, hour of a day, day of a month, and week, up to "maxAge"
versions:
  kind: points
  minAge: 7d
  keep: 5
  cleanout: never
  maxAge: 365d

# What looks like an attack or an accident: then nothing of that agent expires any more until you say "release", and there is an
# alarm. Each of them may be off; docs/guards.md says what to do. Sudden is what happens within "window".
#   changes     this share of a mirror folder was deleted or rewritten, in files and at least that many, or in bytes and at least
#               so many; or more than filesMax or bytesMax, whatever the share is
#   dumpSize    a dump is smaller than usual by this share, and by so many bytes at least
#   packs       so many times as much came of a dump as usual, and so many whole dumps, and so many bytes at least
#   recipients  a dump is sealed to other keys than before
guards:
  window: 1d
  changes: { share: 25%, files: 100, bytes: 100 MiB, filesMax: none, bytesMax: none }
  dumpSize: { share: 50%, bytes: 16 MiB }
  packs: { times: 10, dumps: 2, bytes: 1 GiB }
  recipients: on

# Everything that is stored is read again in this time, to find out about damage while it can be repaired; no faster than
# maxMiBPerSecond.
scrub:
  every: 30d
  maxMiBPerSecond: 10

# How much one agent may store here with all its versions: a size such as 200 GB, or none for no limit.
# At its quota an agent is refused; nothing is thrown away.
quota: none

# The share of a quota that is kept for sealed folders (dumps, secrets): mirror folders are refused that much earlier,
# so that media never leave a dump without room. At most 50%.
sealedReserve: 10%

# What is different for single agents, by device ID, and for single folders of theirs:
#   agents:
#     DEVICE-ID:
#       quota: 500 GB
#       folders:
#         media:
#           versions:
#             kind: staggered
agents: {}
`);
  document.set('data', options.data);
  const listen = options.listen.map(formatAddress);
  if (listen.length > 0) document.set('listen', listen.length === 1 ? listen[0] : listen);
  if (options.advertise.length > 0) document.set('advertise', options.advertise.map(formatAddress));
  return document.toString({ lineWidth: 120 });
}
