import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import type { Message } from '../../../shared/protocol/codec.ts';
import { limits } from '../../../shared/protocol/limits.ts';
import type { Want } from '../../../shared/protocol/want.ts';
import { parseTypedPath } from '../../../shared/records/relative-path.ts';
import { AnswerDeadline } from '../../../shared/transfer/answer-deadline.ts';
import { RangeFetcher } from '../../../shared/transfer/range-fetcher.ts';

const mib = 1024 * 1024;
const smallBytes = 100 * 1024;

it('does not let small ranges of one folder keep a large one of another from being asked for', async () => {
  const wants: Want[] = [];
  const fetcher = new RangeFetcher({
    send: async (message: Message) => {
      if (message.type === 'want') wants.push(message);
    },
    deadline: new AnswerDeadline({ onSilent: () => {} }, { timeoutMs: 60_000 }),
  });
  const fetch = (folder: string, length: number): void => {
    const hash = createHash('sha256').update(folder).digest();
    const content = { folder, path: parseTypedPath('file'), hash, size: length };
    void fetcher.fetch({ content, offset: 0, length, rangeHash: null }, () => {});
  };
  const turn = async (): Promise<void> => {
    for (let at = 0; at < 3; at += 1) await new Promise((resolve) => setImmediate(resolve));
  };
  const windows = Math.ceil(limits.contentBytesInFlightMax / smallBytes);
  for (let at = 0; at < 3 * windows; at += 1) fetch('small', smallBytes);
  await turn();
  fetch('large', mib);
  await turn();
  const isAsked = (): boolean => wants.some(({ folder }) => folder === 'large');
  expect(isAsked()).toBe(false);
  const open = wants.flatMap(({ requestId, items }) => items.map((_, item) => ({ requestId, item })));
  for (let answered = 0; answered < mib / smallBytes + 1; answered += 1) {
    const next = open.shift();
    if (next === undefined) throw new Error('nothing is asked for');
    fetcher.receiveContent({
      requestId: next.requestId,
      parts: [{ item: next.item, offset: 0, bytes: Buffer.alloc(smallBytes) }],
    });
    await turn();
  }
  expect(isAsked()).toBe(true);
});
