import { CodedError } from '../errors/coded-error.ts';

const unitMs = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;

/** Reads `90s`, `30m`, `6h`, `2d`, `1w` or a sum such as `1h30m`, in milliseconds. @throws CodedError USAGE */
export function parseDuration(text: string): number {
  const trimmed = text.trim().toLowerCase().replaceAll(' ', '');
  if (!/^(\d+(\.\d+)?[smhdw])+$/.test(trimmed)) {
    throw new CodedError('USAGE', `"${text}" is not a duration`, {
      hint: 'write a number and a unit: 90s, 30m, 6h, 2d, 1w, or 1h30m',
    });
  }
  let totalMs = 0;
  for (const [, amount, unit] of trimmed.matchAll(/([\d.]+)([smhdw])/g)) {
    totalMs += Number(amount) * unitMs[unit as keyof typeof unitMs];
  }
  return Math.round(totalMs);
}

/** The same for programs and files: the largest units that say it exactly, `1h30m`; `0s` for nothing. */
export function formatDuration(durationMs: number): string {
  let rest = Math.round(durationMs / 1000);
  let text = '';
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const count = Math.floor((rest * 1000) / unitMs[unit]);
    if (count > 0) text += `${count}${unit}`;
    rest -= (count * unitMs[unit]) / 1000;
  }
  return text === '' ? '0s' : text;
}

/** For people, one unit: `12 seconds`, `2 minutes`, `3 days`. */
export function describeDuration(durationMs: number): string {
  const seconds = Math.max(0, Math.round(durationMs / 1000));
  if (seconds < 90) return plural(seconds, 'second');
  if (seconds < 90 * 60) return plural(Math.round(seconds / 60), 'minute');
  if (seconds < 36 * 3600) return plural(Math.round(seconds / 3600), 'hour');
  return plural(Math.round(seconds / 86_400), 'day');
}

/** For people: `never`, `just now`, `2 minutes ago`, `in 3 hours`. */
export function describeMoment(atMs: number | null, nowMs: number): string {
  if (atMs === null) return 'never';
  const differenceMs = nowMs - atMs;
  if (Math.abs(differenceMs) < 2000) return 'just now';
  return differenceMs > 0 ? `${describeDuration(differenceMs)} ago` : `in ${describeDuration(-differenceMs)}`;
}

/** For people, of a moment to come: `now`, `in 3 hours`. */
export function describeFuture(atMs: number, nowMs: number): string {
  return atMs <= nowMs ? 'now' : `in ${describeDuration(Math.max(1000, atMs - nowMs))}`;
}

function plural(count: number, unit: string): string {
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}
