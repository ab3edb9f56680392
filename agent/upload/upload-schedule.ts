import { meansDevice, type DeviceId, type TypedDeviceId } from '../../shared/identity/device-id.ts';

/** KiB (1024 bytes) a second; null: no limit. */
export type UploadRate = number | null;

/** The rate of one receiver, which may be named by the beginning of its ID. */
export type ReceiverRate = { device: TypedDeviceId; rate: UploadRate };

/**
 * Hours of the day with rates of their own, in minutes since midnight by the local clock: from `from` up to, not including,
 * `to`. Where `to` is the smaller one they go over midnight. What is undefined is as it is outside.
 */
export type UploadPeriod = {
  from: number;
  to: number;
  total: UploadRate | undefined;
  perReceiver: UploadRate | undefined;
  receivers: readonly ReceiverRate[];
};

/** How fast content goes out. The periods do not overlap. */
export type UploadConfig = {
  total: UploadRate;
  perReceiver: UploadRate;
  receivers: readonly ReceiverRate[];
  schedule: readonly UploadPeriod[];
};

/** The rates of one moment. */
export type UploadRates = {
  total: UploadRate;
  /** The period that holds; null outside of all. */
  period: UploadPeriod | null;
  ofReceiver(receiverId: DeviceId): UploadRate;
};

export const minutesPerDay = 1440;

/** Minutes since midnight by the clock on this machine's wall: in the hours of a time change it jumps as that clock does. */
export function localMinuteOfDay(atMs: number): number {
  const at = new Date(atMs);
  return at.getHours() * 60 + at.getMinutes();
}

/**
 * The rates at that minute of the day. A receiver has, of these, the first that is said: its own in the period, that of each
 * receiver in the period, its own outside of the schedule, that of each receiver outside of the schedule.
 */
export function uploadRatesAt(config: UploadConfig, minuteOfDay: number): UploadRates {
  const period = config.schedule.find((one) => holdsAt(one, minuteOfDay)) ?? null;
  const { total = config.total, perReceiver, receivers } = period ?? config;
  return {
    total,
    period,
    ofReceiver: (receiverId) => {
      const own = rateOf(receivers, receiverId);
      if (own !== undefined) return own;
      if (perReceiver !== undefined) return perReceiver;
      const outside = rateOf(config.receivers, receiverId);
      return outside === undefined ? config.perReceiver : outside;
    },
  };
}

function rateOf(receivers: readonly ReceiverRate[], receiverId: DeviceId): UploadRate | undefined {
  return receivers.find(({ device }) => meansDevice(device, receiverId))?.rate;
}

/** Whether a minute of the day is in the period. */
export function holdsAt({ from, to }: Pick<UploadPeriod, 'from' | 'to'>, minuteOfDay: number): boolean {
  return from < to ? from <= minuteOfDay && minuteOfDay < to : from <= minuteOfDay || minuteOfDay < to;
}

/** Whether two periods have a minute in common: then the beginning of one is in the other. */
export function overlaps(
  one: Pick<UploadPeriod, 'from' | 'to'>,
  other: Pick<UploadPeriod, 'from' | 'to'>,
): boolean {
  return holdsAt(one, other.from) || holdsAt(other, one.from);
}

/** `08:00`, and `24:00` for the end of the day. */
export function formatTimeOfDay(minuteOfDay: number): string {
  const digits = (value: number): string => String(value).padStart(2, '0');
  return `${digits(Math.floor(minuteOfDay / 60))}:${digits(minuteOfDay % 60)}`;
}

/** `08:00-23:00`. */
export function formatPeriod({ from, to }: Pick<UploadPeriod, 'from' | 'to'>): string {
  return `${formatTimeOfDay(from)}-${formatTimeOfDay(to)}`;
}
