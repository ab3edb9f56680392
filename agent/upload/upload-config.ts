import { z } from 'zod';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { parseTypedDeviceId, type TypedDeviceId } from '../../shared/identity/device-id.ts';
import {
  formatPeriod,
  formatTimeOfDay,
  minutesPerDay,
  overlaps,
  type ReceiverRate,
  type UploadConfig,
  type UploadPeriod,
  type UploadRate,
} from './upload-schedule.ts';

/** KiB/s. Below this a receiver could take the silence between two messages for the end of the agent. */
export const rateMin = 8;
const rateMax = 100_000_000;
const rateError = `must be a number of KiB/s, ${rateMin} or more, or off`;

const rateValue: z.ZodType<UploadRate> = z.preprocess(
  (value) => (value === 'off' || value === false ? null : value),
  z
    .int({ error: rateError })
    .min(rateMin, { error: rateError })
    .max(rateMax, { error: rateError })
    .nullable(),
);

const receiversValue: z.ZodType<ReceiverRate[]> = z
  .record(z.string(), rateValue, { error: 'must name receivers: DEVICE-ID: KiB/s' })
  .transform((rates, context) =>
    Object.entries(rates).flatMap(([text, rate]) => {
      try {
        return [{ device: parseTypedDeviceId(text), rate }];
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
        context.addIssue({ code: 'custom', path: [text], message: error.message });
        return [];
      }
    }),
  );

const timeError = 'must be a time of day such as 08:00 or 23:30';
const timeValue = z
  .string({ error: timeError })
  .regex(/^(([01]?\d|2[0-3]):[0-5]\d|24:00)$/, { error: timeError })
  .transform((text) => {
    const [hours = 0, minutes = 0] = text.split(':').map(Number);
    return hours * 60 + minutes;
  });

const periodSchema = z
  .strictObject({
    from: timeValue,
    to: timeValue,
    total: rateValue.optional(),
    perReceiver: rateValue.optional(),
    receivers: receiversValue.optional(),
  })
  .superRefine(({ from, to, total, perReceiver, receivers }, context) => {
    const report = (message: string): void => context.addIssue({ code: 'custom', message });
    if (from % minutesPerDay === to % minutesPerDay)
      report('covers the whole day: set that outside of the schedule');
    if (total === undefined && perReceiver === undefined && receivers === undefined)
      report('sets nothing: add total, perReceiver or receivers');
  })
  .transform(({ from, to, total, perReceiver, receivers }): UploadPeriod => ({
    from: from % minutesPerDay,
    to,
    total,
    perReceiver,
    receivers: receivers ?? [],
  }));

/** `upload` of agent.yaml. */
export const uploadSchema: z.ZodType<UploadConfig> = z
  .strictObject({
    total: rateValue.default(null),
    perReceiver: rateValue.default(null),
    receivers: receiversValue.default([]),
    schedule: z
      .array(periodSchema, { error: 'must be a list of {from, to, total, perReceiver}' })
      .max(24)
      .default([]),
  })
  .superRefine(({ schedule }, context) => {
    for (const [at, period] of schedule.entries()) {
      const other = schedule.slice(0, at).find((earlier) => overlaps(earlier, period));
      if (other === undefined) continue;
      context.addIssue({
        code: 'custom',
        path: ['schedule', at],
        message: `${formatPeriod(period)} overlaps with ${formatPeriod(other)}`,
      });
    }
  })
  .prefault({});

/** As one would write it into the file. */
export function shownUpload({ total, perReceiver, receivers, schedule }: UploadConfig): object {
  return {
    total: shownRate(total),
    perReceiver: shownRate(perReceiver),
    receivers: shownReceivers(receivers),
    schedule: schedule.map((period) => ({
      from: formatTimeOfDay(period.from),
      to: formatTimeOfDay(period.to),
      ...(period.total === undefined ? {} : { total: shownRate(period.total) }),
      ...(period.perReceiver === undefined ? {} : { perReceiver: shownRate(period.perReceiver) }),
      ...(period.receivers.length === 0 ? {} : { receivers: shownReceivers(period.receivers) }),
    })),
  };
}

function shownReceivers(receivers: readonly ReceiverRate[]): Record<string, number | 'off'> {
  const name = ({ whole, text }: TypedDeviceId): string => whole ?? text;
  return Object.fromEntries(receivers.map(({ device, rate }) => [name(device), shownRate(rate)]));
}

function shownRate(rate: UploadRate): number | 'off' {
  return rate ?? 'off';
}
