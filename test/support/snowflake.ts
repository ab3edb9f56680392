/** An id as Mastodon's timestamp_id makes them: milliseconds, then 16 bits of whatever tells ids of one moment apart. */
export function snowflake(ms: number, ordinal: number): bigint {
  return (BigInt(ms) << 16n) | BigInt(ordinal & 0xffff);
}
