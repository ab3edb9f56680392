import net from 'node:net';

const windowMs = 60_000;
const sourcesMax = 1024;

/** How many attempts each source made in the current minute; the memory is bounded, the oldest source is forgotten first. */
export class AttemptLimit {
  readonly #perMinuteMax: number;
  readonly #now: () => number;
  readonly #sources = new Map<string, { startedAt: number; attempts: number }>();

  constructor(options: { perMinuteMax: number; now: () => number }) {
    this.#perMinuteMax = options.perMinuteMax;
    this.#now = options.now;
  }

  /** Counts an attempt; false when the source has had its share of this minute. */
  allow(remoteAddress: string): boolean {
    const source = sourceOf(remoteAddress);
    const known = this.#sources.get(source);
    if (known !== undefined && this.#now() - known.startedAt < windowMs) {
      known.attempts += 1;
      return known.attempts <= this.#perMinuteMax;
    }
    this.#sources.delete(source);
    for (const oldest of this.#sources.keys()) {
      if (this.#sources.size < sourcesMax) break;
      this.#sources.delete(oldest);
    }
    this.#sources.set(source, { startedAt: this.#now(), attempts: 1 });
    return this.#perMinuteMax >= 1;
  }
}

/** One IPv4 address; of an IPv6 address the network of 64 bits, which is what one subscriber gets. */
export function sourceOf(remoteAddress: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(remoteAddress);
  if (mapped !== null) return mapped[1] ?? remoteAddress;
  if (!net.isIPv6(remoteAddress)) return remoteAddress;
  const [head = '', tail] = (remoteAddress.split('%')[0] ?? '').split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const after = tail === '' ? [] : tail.split(':');
    while (groups.length + after.length < 8) groups.push('0');
    groups.push(...after);
  }
  return groups
    .slice(0, 4)
    .map((group) => group.toLowerCase().padStart(4, '0'))
    .join(':');
}
