import { z } from 'zod';
import { CodedError } from '../errors/coded-error.ts';
import { parseAddress, type Address } from '../link/address.ts';
import { parseByteSize } from './byte-size.ts';
import { parseDuration } from './duration.ts';

/** A value of a configuration file that `parse` reads from text; its CodedErrors become problems of that line. */
function textValue<Value>(parse: (text: string) => Value): z.ZodType<Value> {
  return z.union([z.string(), z.number()], { error: 'must be text' }).transform((value, context) => {
    try {
      return parse(String(value));
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      context.addIssue({
        code: 'custom',
        message: error.hint === null ? error.message : `${error.message}: ${error.hint}`,
      });
      return z.NEVER;
    }
  });
}

/** `30m`, `6h`: milliseconds. */
export const durationValue = textValue(parseDuration);

/** `200 GB`: bytes. */
export const byteSizeValue = textValue(parseByteSize);

const addressValue = textValue(parseAddress);

/** One `HOST:PORT`, a list of them, or `off` for none. */
export const addressListValue: z.ZodType<Address[]> = z.preprocess((value) => {
  if (value === 'off' || value === null || value === false) return [];
  return Array.isArray(value) ? (value as unknown) : [value];
}, z.array(addressValue));
