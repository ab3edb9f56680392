import { CodedError } from '../../shared/errors/coded-error.ts';

/** The object came whole and does not have the hash of its name. */
export function damagedObject(name: string): CodedError {
  return new CodedError('PACK_CORRUPT', `${name} is damaged on the receiver`, {
    hint: 'another receiver may have a whole one, or another moment',
  });
}
