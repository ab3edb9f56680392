import fs from 'node:fs';
import path from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { PointLedger } from '../../agent/points/point-ledger.ts';
import { PointSigner } from '../support/point-fixture.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const signer = new PointSigner();
let directory: string;
let steadyMs: number;
let timers: (() => void)[];
let ledger: PointLedger;

beforeEach(() => {
  directory = path.join(temporaryDirectory(), 'points');
  steadyMs = 0;
  timers = [];
  ledger = open();
});

function open(pointsMax = 2000): PointLedger {
  const deps = {
    steadyNow: () => steadyMs,
    after: (_: number, callback: () => void) => void timers.push(callback),
  };
  return new PointLedger(deps, { directory, pointsMax });
}

function add(count: number): void {
  for (let at = 0; at < count; at += 1) {
    const { number, previous } = ledger.next();
    const { record, signature } = signer.point(number, { previous });
    ledger.add(number, record, signature);
  }
}

/** The numbers that a receiver is told until nothing more comes, each answered so. */
function told(receiver: string, answer = { held: true, code: null as string | null }): number[] {
  const numbers: number[] = [];
  for (let next = ledger.nextFor(receiver); next !== null; next = ledger.nextFor(receiver)) {
    numbers.push((JSON.parse(next.record.toString()) as { number: number }).number);
    ledger.answered(receiver, next.hash, answer);
  }
  return numbers;
}

it('numbers points and chains each to the one before, across restarts', () => {
  add(2);
  ledger = open();
  add(1);
  const { number, previous } = ledger.next();
  expect(number).toBe(4);
  expect(previous).toBe(signer.point(3, { previous: ledgerHash(2) }).hash.toString('hex'));
  expect(ledger.latest()?.number).toBe(3);
});

function ledgerHash(number: number): string {
  let previous: string | null = null;
  for (let at = 1; at <= number; at += 1) previous = signer.point(at, { previous }).hash.toString('hex');
  return previous ?? '';
}

it('tells each receiver of every later point in order until it is answered, across restarts', () => {
  add(1);
  expect(told('nas')).toEqual([1]);
  add(3);
  const first = ledger.nextFor('nas');
  expect(ledger.nextFor('nas')).toEqual(first);
  ledger = open();
  expect(told('nas')).toEqual([2, 3, 4]);
  expect(told('nas')).toEqual([]);
  ledger = open();
  expect(told('nas')).toEqual([]);
});

it('tells a receiver that never answered of the newest point only, and one that was away long of the newest 24', () => {
  add(5);
  expect(told('new')).toEqual([5]);
  add(100);
  expect(told('new')).toEqual(Array.from({ length: 24 }, (_, at) => 82 + at));
});

it('announces a point again later where the receiver takes no more now, and not again where it refuses it', () => {
  add(1);
  let changes = 0;
  ledger.onChange(() => (changes += 1));
  expect(told('nas', { held: false, code: 'POINTS_LIMITED' })).toEqual([1]);
  expect(told('other')).toEqual([1]);
  steadyMs = 600_000;
  for (const timer of timers) timer();
  expect(changes).toBe(1);
  expect(told('nas', { held: false, code: 'RECORD_FORGED' })).toEqual([1]);
  expect(told('nas')).toEqual([]);
});

it('keeps the last points as files', () => {
  ledger = open(3);
  add(5);
  const files = fs.readdirSync(directory).filter((name) => name.endsWith('.json'));
  expect(files.toSorted()).toEqual(['0000000003.json', '0000000004.json', '0000000005.json']);
});

it('remembers of points that ask for a pin what each receiver said of it', () => {
  const { number, previous } = ledger.next();
  const { id, record, signature } = signer.point(number, { previous, pin: 'kept' });
  ledger.add(number, record, signature);
  expect(ledger.pinAnswers(id).size).toBe(0);
  told('nas');
  told('vps', { held: true, code: 'PINS_LIMITED' });
  told('busy', { held: false, code: 'POINTS_LIMITED' });
  expect([...ledger.pinAnswers(id)]).toEqual([
    ['nas', null],
    ['vps', 'PINS_LIMITED'],
  ]);
  add(1);
  told('nas');
  expect(ledger.pinAnswers(signer.point(2, { previous: signer.point(1).hash.toString('hex') }).id).size).toBe(
    0,
  );
});
