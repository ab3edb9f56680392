import { z } from 'zod';
import { formatDuration } from '../../shared/cli/duration.ts';
import { byteSizeValue, durationValue } from '../../shared/cli/config-value.ts';
import {
  defaultGuardRules,
  type ChangeRule,
  type GuardRules,
  type ShrinkRule,
  type SurgeRule,
} from './guard-rules.ts';

const hourMs = 3_600_000;
const { changes, shrinking, surge, windowMs } = defaultGuardRules as {
  [Name in keyof GuardRules]: NonNullable<GuardRules[Name]>;
};
const isOff = (value: unknown): boolean => value === 'off' || value === false;

/** A rule, `off` for none (null), or nothing at all for its defaults. */
function ruleOrOff<Rule>(rule: z.ZodType<Rule>): z.ZodType<Rule | null> {
  return z.preprocess((value) => (isOff(value) ? null : (value ?? {})), rule.nullable());
}

/** A bound, or `none` (null). */
function orNone(bound: z.ZodType<number>): z.ZodType<number | null> {
  return z.preprocess((value) => (value === 'none' ? null : value), bound.nullable());
}

const shareError = 'must be a share such as 25%, more than 0% and at most 100%';
const share = z
  .string({ error: shareError })
  .regex(/^\s*\d+(\.\d+)?\s*%\s*$/, { error: shareError })
  .transform((value) => Number.parseFloat(value) / 100)
  .refine((value) => value > 0 && value <= 1, { error: shareError });
const files = z.int({ error: 'must be a number of files' }).min(0);
const filesMax = z.int({ error: 'must be a number of files, or none' }).min(1);
const times = z.number({ error: 'must be a number such as 10' }).min(1).max(1_000_000);

const changeRule: z.ZodType<ChangeRule> = z.strictObject({
  share: share.default(changes.share),
  files: files.default(changes.files),
  bytes: byteSizeValue.default(changes.bytes),
  filesMax: orNone(filesMax).default(changes.filesMax),
  bytesMax: orNone(byteSizeValue).default(changes.bytesMax),
});
const shrinkRule: z.ZodType<ShrinkRule> = z.strictObject({
  share: share.default(shrinking.share),
  bytes: byteSizeValue.default(shrinking.bytes),
});
const surgeRule: z.ZodType<SurgeRule> = z.strictObject({
  times: times.default(surge.times),
  dumps: times.default(surge.dumps),
  bytes: byteSizeValue.default(surge.bytes),
});
const windowValue = durationValue
  .refine((value) => value >= hourMs && value <= 30 * 24 * hourMs, { error: 'must be from 1h to 30d' })
  .default(windowMs);
const onOrOff = z.preprocess(
  (value) => (value === 'on' ? true : isOff(value) ? false : value),
  z.boolean({ error: 'must be on or off' }),
);

/** `guards` of receiver.yaml. */
export const guardsValue: z.ZodType<GuardRules> = z
  .strictObject({
    window: windowValue,
    changes: ruleOrOff(changeRule).prefault({}),
    dumpSize: ruleOrOff(shrinkRule).prefault({}),
    packs: ruleOrOff(surgeRule).prefault({}),
    recipients: onOrOff.default(true),
  })
  .transform(({ window, changes, dumpSize, packs, recipients }) => ({
    windowMs: window,
    changes,
    shrinking: dumpSize,
    surge: packs,
    recipients,
  }));

/** The same as one would write it into the file. */
export function shownGuards({ windowMs, changes, shrinking, surge, recipients }: GuardRules): object {
  return {
    window: formatDuration(windowMs),
    changes: shownRule(changes),
    dumpSize: shownRule(shrinking),
    packs: shownRule(surge),
    recipients: recipients ? 'on' : 'off',
  };
}

function shownRule(rule: ChangeRule | ShrinkRule | SurgeRule | null): object | string {
  if (rule === null) return 'off';
  const shown = Object.entries(rule).map(([name, value]: [string, number | null]) => {
    if (value === null) return [name, 'none'];
    return [name, name === 'share' ? `${Number((value * 100).toFixed(9))}%` : value];
  });
  return Object.fromEntries(shown) as object;
}
