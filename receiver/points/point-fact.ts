import * as z from 'zod';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { pointIdPattern } from '../../shared/sealing/point-record.ts';
import { encodeCheckedLine, isIntactLine, parseCheckedLine } from '../../shared/io/checked-line.ts';

const id = z.string().regex(pointIdPattern);
const time = z.int().min(0);
const label = z.string().min(1);

const factSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('header'),
    format: z.literal('mastokeep-points-journal'),
    formatVersion: z.literal(1),
    agent: z.string(),
  }),
  /** `receivedAt`: by the retention clock; `wallAt`: by the wall clock. `pin`: what the agent asked for and got. */
  z.strictObject({ type: z.literal('taken'), id, receivedAt: time, wallAt: time, pin: label.nullable() }),
  z.strictObject({ type: z.literal('pinned'), id, label, wallAt: time }),
  z.strictObject({ type: z.literal('unpinned'), id, wallAt: time }),
  z.strictObject({ type: z.literal('removed'), id, wallAt: time }),
  /** By the owner; what only it needed is to be removed, then the point itself. */
  z.strictObject({ type: z.literal('forgotten'), id, wallAt: time }),
  /** So many were refused since ever. */
  z.strictObject({ type: z.literal('refused'), count: z.int().min(1), wallAt: time }),
]);

/** What a receiver knows of an agent's points beside their records; times in ms since 1970. */
export type PointFact = z.infer<typeof factSchema>;

export type PointPin = { label: string; by: 'agent' | 'owner' };
type PointFacts = { receivedAt: number; wallAt: number; pin: PointPin | null };

/**
 * What the facts come to. `removed`: points whose files may still be there. `forgotten`: points whose files are still
 * needed to tell what else is to be removed, and when the owner said so, ms by the wall clock.
 */
export type KnownPoints = {
  points: Map<string, PointFacts>;
  removed: Set<string>;
  forgotten: Map<string, number>;
  refused: number;
};

export const noKnownPoints = (): KnownPoints => ({
  points: new Map(),
  removed: new Set(),
  forgotten: new Map(),
  refused: 0,
});

/** Adds a fact to what is known, in place. */
export function learnFact(known: KnownPoints, fact: PointFact): void {
  if (fact.type === 'header') return;
  if (fact.type === 'refused') {
    known.refused = fact.count;
    return;
  }
  if (fact.type === 'taken') {
    const { receivedAt, wallAt, pin } = fact;
    known.removed.delete(fact.id);
    known.points.set(fact.id, {
      receivedAt,
      wallAt,
      pin: pin === null ? null : { label: pin, by: 'agent' },
    });
    return;
  }
  if (fact.type === 'removed') {
    known.points.delete(fact.id);
    known.forgotten.delete(fact.id);
    known.removed.add(fact.id);
    return;
  }
  if (fact.type === 'forgotten') {
    known.points.delete(fact.id);
    known.forgotten.set(fact.id, fact.wallAt);
    return;
  }
  const point = known.points.get(fact.id);
  if (point === undefined) return;
  point.pin = fact.type === 'pinned' ? { label: fact.label, by: 'owner' } : null;
}

/** The fewest facts that come to the same, once the files of removed points are gone. */
export function factsOf(known: KnownPoints, agent: string): PointFact[] {
  const facts: PointFact[] = [pointJournalHeader(agent)];
  let latestWallAt = 0;
  for (const [id, { receivedAt, wallAt, pin }] of known.points) {
    latestWallAt = Math.max(latestWallAt, wallAt);
    facts.push({ type: 'taken', id, receivedAt, wallAt, pin: pin?.by === 'agent' ? pin.label : null });
    if (pin?.by === 'owner') facts.push({ type: 'pinned', id, label: pin.label, wallAt });
  }
  for (const [id, wallAt] of known.forgotten) {
    latestWallAt = Math.max(latestWallAt, wallAt);
    facts.push({ type: 'forgotten', id, wallAt });
  }
  if (known.refused > 0) facts.push({ type: 'refused', count: known.refused, wallAt: latestWallAt });
  return facts;
}

export function pointJournalHeader(agent: string): PointFact {
  return { type: 'header', format: 'mastokeep-points-journal', formatVersion: 1, agent };
}

export function encodeFact(fact: PointFact): Buffer {
  return encodeCheckedLine(fact);
}

/** Null for a line that is damaged or torn. @throws CodedError JOURNAL_DAMAGED: intact and of an unknown shape */
export function decodeFact(line: Buffer): PointFact | null {
  if (!isIntactLine(line)) return null;
  const parsed = factSchema.safeParse(parseCheckedLine(line));
  if (parsed.success) return parsed.data;
  throw new CodedError(
    'JOURNAL_DAMAGED',
    'the journal of restore points has an entry that this version does not understand',
    {
      hint: 'was it written by a newer version of the program?',
    },
  );
}
