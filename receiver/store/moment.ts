import { CodedError } from '../../shared/errors/coded-error.ts';

/**
 * A point in the order of all that a folder's agent ever announced: the number of the index (from 1, in the order in which
 * the receiver met them) · 2^44 + the sequence in it. 0 is before everything. SQLite holds it in one integer.
 */
export type Moment = bigint;

const sequenceBits = 44n;
export const momentLimits = { sequenceMax: 2 ** 44 - 1, indexNumberMax: 2 ** 18 } as const;

/** @throws CodedError PROTOCOL_VIOLATION past the limits: a sequence, or the indexes that one folder may ever have */
export function momentOf(indexNumber: number, sequence: number): Moment {
  const { sequenceMax, indexNumberMax } = momentLimits;
  if (sequence > sequenceMax)
    throw new CodedError('PROTOCOL_VIOLATION', `sequence ${sequence} is past the limit of ${sequenceMax}`);
  if (indexNumber > indexNumberMax) {
    throw new CodedError('PROTOCOL_VIOLATION', `the folder has had ${indexNumberMax} indexes; no more fit`, {
      hint: 'the agent begins new indexes far too often; look at its log',
    });
  }
  return (BigInt(indexNumber) << sequenceBits) + BigInt(sequence);
}

/** Whether the moment is one of the index with that number. */
export function isWithin(indexNumber: number, moment: Moment): boolean {
  return moment >> sequenceBits === BigInt(indexNumber);
}

export function laterMoment(a: Moment, b: Moment): Moment {
  return a > b ? a : b;
}
