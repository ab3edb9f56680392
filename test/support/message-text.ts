import type { Message } from '../../shared/protocol/codec.ts';

/** A message as JSON that shows every value: byte strings as `hex:`, paths as byte strings, 64-bit integers as `n:`. */
export function messageText(message: Message): string {
  const show = (value: unknown): unknown => {
    if (Buffer.isBuffer(value)) return `hex:${value.toString('hex')}`;
    if (typeof value === 'bigint') return `n:${value}`;
    if (Array.isArray(value)) return value.map(show);
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, show(entry)]));
  };
  return `${JSON.stringify(show(message), null, 2)}\n`;
}
