import { InvalidArgumentError } from 'commander';
import { pinLabelSchema } from '../sealing/point-record.ts';

/** The label of a pin as it was typed. @throws InvalidArgumentError */
export function parsePinLabel(text: string): string {
  const parsed = pinLabelSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InvalidArgumentError('a label is up to 100 characters, none of them a control character.');
}
