import path from 'node:path';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { addressListValue, byteSizeValue, durationValue } from '../shared/cli/config-value.ts';
import { isCoded } from '../shared/errors/coded-error.ts';
import { resolveDeviceId } from '../shared/identity/device-id.ts';
import { parseConfig, readConfigText } from '../shared/io/config-file.ts';
import { formatAddress, type Address } from '../shared/link/address.ts';

/** `receiver.yaml` with every default filled in; `reload` makes changes effective. */
export type ReceiverConfig = {
  /** The directory that holds all copies, absolute. */
  data: string;
  /** Empty: this receiver only connects to others. */
  listen: Address[];
  advertise: Address[];
  /** The share of the disk that stays free, 0 to 0.5. */
  freeSpaceFloor: number;
  /** Of one path the newest `keep` versions stay, and all that are younger than `minAgeMs`. */
  versions: { keep: number; minAgeMs: number };
  /** For agents without an entry in `quotas`; null: no limit. */
  quotaBytes: number | null;
  /** The share of a quota, 0 to 0.5, that mirror folders leave to sealed ones. */
  sealedReserve: number;
  /** By device ID as written in the file. */
  quotas: ReadonlyMap<string, number | null>;
};

const weekMs = 7 * 86_400_000;

const quotaValue = z.union([z.literal('none').transform(() => null), byteSizeValue]);

/** Of something, 0 to 0.5. */
function shareValue(whole: string, example: string): z.ZodType<number> {
  const error = `must be a share of ${whole} such as ${example}, at most 50%`;
  return z
    .union([z.string().regex(/^\s*\d+(\.\d+)?\s*%\s*$/), z.literal(0)], { error })
    .transform((value) => Number.parseFloat(String(value)) / 100)
    .refine((share) => share <= 0.5, { error });
}

const configSchema: z.ZodType<ReceiverConfig> = z
  .strictObject({
    data: z
      .string({ error: 'the directory for the copies is missing' })
      .refine((value) => path.isAbsolute(value), { error: 'must be an absolute path' }),
    listen: addressListValue.default([]),
    advertise: addressListValue.default([]),
    freeSpaceFloor: shareValue('the disk', '5%').default(0.05),
    versions: z
      .strictObject({ keep: z.int().min(0).max(10_000).default(6), minAge: durationValue.default(weekMs) })
      .prefault({}),
    quota: quotaValue.default(null),
    sealedReserve: shareValue('a quota', '10%').default(0.1),
    agents: z
      .record(z.string(), z.strictObject({ quota: quotaValue }))
      .nullable()
      .default({}),
  })
  .superRefine(({ agents }, context) => {
    for (const deviceId of Object.keys(agents ?? {})) {
      const message = deviceIdProblem(deviceId);
      if (message !== null) context.addIssue({ code: 'custom', path: ['agents', deviceId], message });
    }
  })
  .transform(({ versions, quota, agents, ...rest }) => ({
    ...rest,
    versions: { keep: versions.keep, minAgeMs: versions.minAge },
    quotaBytes: quota,
    quotas: new Map(Object.entries(agents ?? {}).map(([deviceId, agent]) => [deviceId, agent.quota])),
  }));

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
  const document =
    parseDocument(`# Configuration of mastokeep-receiver. Changes take effect with "mastokeep-receiver reload";
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

# Replaced and deleted files are kept as versions: of each path the newest ones, and in any case every version
# that is younger than minAge.
versions:
  keep: 6
  minAge: 7d

# How much one agent may store here with all its versions: a size such as 200 GB, or none for no limit.
# At its quota an agent is refused; nothing is thrown away.
quota: none

# The share of a quota that is kept for sealed folders (dumps, secrets): mirror folders are refused that much earlier,
# so that media never leave a dump without room. At most 50%.
sealedReserve: 10%

# Quotas of single agents, by device ID:
#   agents:
#     DEVICE-ID:
#       quota: 500 GB
agents: {}
`);
  document.set('data', options.data);
  const listen = options.listen.map(formatAddress);
  if (listen.length > 0) document.set('listen', listen.length === 1 ? listen[0] : listen);
  if (options.advertise.length > 0) document.set('advertise', options.advertise.map(formatAddress));
  return document.toString({ lineWidth: 120 });
}
