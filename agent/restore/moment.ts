import { CodedError } from '../../shared/errors/coded-error.ts';

const unitMs = { second: 1000, minute: 60_000, hour: 3_600_000, day: 86_400_000, week: 604_800_000 } as const;

/** Every spelling of a unit of time; months and years are counted by the calendar. */
const units: ReadonlyMap<string, keyof typeof unitMs | 'month' | 'year'> = new Map(
  Object.entries({
    second: ['s', 'sec', 'secs', 'second', 'seconds'],
    minute: ['m', 'min', 'mins', 'minute', 'minutes'],
    hour: ['h', 'hr', 'hrs', 'hour', 'hours'],
    day: ['d', 'day', 'days'],
    week: ['w', 'week', 'weeks'],
    month: ['month', 'months'],
    year: ['y', 'year', 'years'],
  } as const).flatMap(([unit, names]) => names.map((name) => [name, unit as 'second'] as const)),
);

/** Extended (`2026-11-20T14:00`) and basic (`20261120T1400`); a zone by numbers needs a time before it. */
const isoPattern =
  /^(?<year>\d{4})(?<dash>-?)(?<month>\d\d)\k<dash>(?<day>\d\d)(?:(?:t| +)(?<hour>\d\d)(?::?(?<minute>\d\d)(?::?(?<second>\d\d)(?:[.,](?<fraction>\d{1,9}))?)?)?(?<offset> *[+-]\d\d(?::?\d\d)?)?)?(?<utc> *(?:z|utc))?$/;
/** As a receiver names the versions of a file: UTC. */
const versionStampPattern = /^~?(?<date>\d{8})-(?<time>\d{6})$/;
const clockPattern = /^(?:(today|yesterday)(?: +at)?(?: +|$))?(?:(\d{1,2}):(\d\d)(?::(\d\d))?)?$/;
const agoPartPattern = /^(?:,|and)? *(\d+(?:\.\d+)?|an?) *([a-z]+) */;

/**
 * The moment that a person means, in ms; null for `latest`, the newest state that there is.
 * Takes ISO 8601 (local time where no zone is given, midnight where no time is), `YYYYMMDD-HHMMSS` as versions are named
 * (UTC), `@SECONDS` of Unix time, `14:30`, `today`, `yesterday 14:00`, `2 hours ago`, `1 day and 6 hours ago`. Local time
 * is the process' time zone.
 * @throws CodedError USAGE for anything else, and for a moment later than `nowMs`
 */
export function parseMoment(text: string, nowMs: number): number | null {
  const words = text.trim().toLowerCase().replaceAll(/\s+/g, ' ');
  if (words === 'latest' || words === 'now') return null;
  const momentMs =
    parseUnixTime(words) ??
    parseIso(words.replace(versionStampPattern, '$<date>t$<time>z')) ??
    parseAgo(words, nowMs) ??
    parseClock(words, nowMs);
  if (momentMs === null || !Number.isFinite(momentMs)) {
    throw new CodedError('USAGE', `"${text}" is neither a time nor a restore point`, {
      hint: 'write 2026-11-20T14:00, "2 hours ago", "yesterday 14:00", latest, or a name that "mastokeep-agent points" lists',
    });
  }
  if (momentMs > nowMs) {
    throw new CodedError('USAGE', `"${text}" is in the future (${formatMoment(momentMs)})`, {
      hint: 'use latest for the newest state, or the name of a restore point',
    });
  }
  return momentMs;
}

/** The moment for people: ISO 8601 to the second in UTC; `latest` for null. */
export function formatMoment(momentMs: number | null): string {
  return momentMs === null ? 'latest' : new Date(momentMs).toISOString().replace(/\.\d+Z$/, 'Z');
}

function parseUnixTime(words: string): number | null {
  const match = /^@(\d{1,12}(?:\.\d+)?)$/.exec(words);
  return match === null ? null : Math.floor(Number(match[1]) * 1000);
}

/** From the year to the second. */
type SixNumbers = [number, number, number, number, number, number];

function parseIso(words: string): number | null {
  const parts = isoPattern.exec(words)?.groups;
  if (parts === undefined) return null;
  const { year, month, day, hour, minute, second, fraction = '0', offset, utc } = parts;
  if (offset !== undefined && utc !== undefined) return null;
  const fields = [year, Number(month) - 1, day, hour ?? 0, minute ?? 0, second ?? 0].map(
    Number,
  ) as SixNumbers;
  const wallMs = Date.UTC(...fields, Math.floor(Number(`0.${fraction}`) * 1000));
  // Date.UTC carries over what is out of range (30 February, 25:00); what comes back different was no time.
  const wall = new Date(wallMs);
  const back = [
    wall.getUTCFullYear(),
    wall.getUTCMonth(),
    wall.getUTCDate(),
    wall.getUTCHours(),
    wall.getUTCMinutes(),
    wall.getUTCSeconds(),
  ];
  if (back.join() !== fields.join()) return null;
  if (utc !== undefined) return wallMs;
  if (offset !== undefined) return wallMs - offsetMinutes(offset.trim()) * 60_000;
  return new Date(...fields, wall.getUTCMilliseconds()).getTime();
}

function offsetMinutes(offset: string): number {
  const digits = offset.replaceAll(/\D/g, '');
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2, 4));
  return offset.startsWith('-') ? -minutes : minutes;
}

function parseAgo(words: string, nowMs: number): number | null {
  if (!words.endsWith(' ago')) return null;
  let rest = words.slice(0, -' ago'.length).trim();
  if (rest === '') return null;
  const moment = new Date(nowMs);
  let backMs = 0;
  while (rest !== '') {
    const match = agoPartPattern.exec(rest);
    const unit = units.get(match?.[2] ?? '');
    if (match === null || unit === undefined) return null;
    const count = match[1]?.startsWith('a') === true ? 1 : Number(match[1]);
    if (unit === 'month' || unit === 'year') {
      if (!Number.isInteger(count)) return null;
      goBackMonths(moment, unit === 'year' ? count * 12 : count);
    } else {
      backMs += count * unitMs[unit];
    }
    rest = rest.slice(match[0].length);
  }
  return Math.floor(moment.getTime() - backMs);
}

/** A month before 31 March is the last of February. */
function goBackMonths(moment: Date, months: number): void {
  const day = moment.getDate();
  moment.setDate(1);
  moment.setMonth(moment.getMonth() - months);
  const lastDay = new Date(moment.getFullYear(), moment.getMonth() + 1, 0).getDate();
  moment.setDate(Math.min(day, lastDay));
}

function parseClock(words: string, nowMs: number): number | null {
  const match = words === '' ? null : clockPattern.exec(words);
  if (match === null) return null;
  const [hour, minute, second] = match.slice(2, 5).map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
  ];
  if (hour > 23 || minute > 59 || second > 59) return null;
  const now = new Date(nowMs);
  const day = now.getDate() - (match[1] === 'yesterday' ? 1 : 0);
  return new Date(now.getFullYear(), now.getMonth(), day, hour, minute, second).getTime();
}
