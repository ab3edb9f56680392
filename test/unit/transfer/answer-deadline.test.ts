import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { AnswerDeadline } from '../../../shared/transfer/answer-deadline.ts';

let silences = 0;
let deadline: AnswerDeadline;
beforeEach(() => {
  vi.useFakeTimers();
  silences = 0;
  deadline = new AnswerDeadline({ onSilent: () => (silences += 1) }, { timeoutMs: 100 });
});
afterEach(() => {
  vi.useRealTimers();
});

it('says nothing while nothing is asked', () => {
  vi.advanceTimersByTime(1000);
  expect(silences).toBe(0);
});

it('notices once that a request is not answered in time', () => {
  deadline.asked();
  vi.advanceTimersByTime(99);
  expect(silences).toBe(0);
  vi.advanceTimersByTime(1);
  deadline.asked();
  vi.advanceTimersByTime(1000);
  expect(silences).toBe(1);
});

it('begins anew with every part of an answer, to whatever request', () => {
  deadline.asked();
  deadline.asked();
  for (let part = 0; part < 10; part += 1) {
    vi.advanceTimersByTime(99);
    deadline.progressed();
  }
  vi.advanceTimersByTime(99);
  deadline.answered();
  vi.advanceTimersByTime(99);
  expect(silences).toBe(0);
  vi.advanceTimersByTime(1);
  expect(silences).toBe(1);
});

it('is at rest when all is answered, and counts from the next request on', () => {
  deadline.asked();
  deadline.answered();
  vi.advanceTimersByTime(1000);
  deadline.asked();
  vi.advanceTimersByTime(99);
  expect(silences).toBe(0);
  vi.advanceTimersByTime(1);
  expect(silences).toBe(1);
});

it('notices nothing after the link has ended', () => {
  deadline.asked();
  deadline.stop();
  vi.advanceTimersByTime(1000);
  deadline.answered();
  deadline.asked();
  vi.advanceTimersByTime(1000);
  expect(silences).toBe(0);
});
