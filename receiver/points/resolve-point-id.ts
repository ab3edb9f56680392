import { CodedError } from '../../shared/errors/coded-error.ts';

/** The ID that a text stands for: whole, or its beginning where that is of no other. @throws CodedError POINT_UNKNOWN */
export function resolvePointId(text: string, known: Iterable<string>): string {
  const matching = [...known].filter((id) => id.startsWith(text));
  const [only, ...more] = matching;
  if (only !== undefined && more.length === 0) return only;
  if (only === undefined) {
    throw new CodedError('POINT_UNKNOWN', `no restore point "${text}" is held`, {
      hint: '"mastokeep-receiver points" lists them',
    });
  }
  throw new CodedError('POINT_UNKNOWN', `"${text}" may be ${matching.slice(0, 3).join(', ')}`, {
    hint: 'write more of it',
  });
}
