import type { Channel } from '../../shared/link/channel.ts';
import type { Browse } from '../../shared/protocol/browse.ts';
import { decodeMessage, encodeMessage, type Message } from '../../shared/protocol/codec.ts';
import type { Entries } from '../../shared/protocol/entries.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import { createChannelPair } from './channel-pair.ts';
import { benchAgent } from './restore-bench.ts';
import { sha256 } from './store-fixture.ts';

export type ListedEntry = Entries['entries'][number];
/** What a receiver says of a file with that content. */
export const listedFile = (name: string, bytes: Buffer): ListedEntry => ({
  path: parseTypedPath(name),
  state: { kind: 'file', size: bytes.length, mtimeNs: 1n, mode: 0o644, uid: 0, gid: 0, hash: sha256(bytes) },
});
/** As an honest receiver greets. */
export const receiverHello: Message = {
  type: 'hello',
  protocolVersions: [1],
  program: 'hostile',
  programVersion: '0',
  deviceRole: 'receiver',
};

/** A receiver that answers as it likes; messages as objects, or as bytes that no honest program would make. */
export class HostileReceiver {
  entries: ListedEntry[] = [];
  readonly contents = new Map<string, Buffer>();
  folders: NonNullable<Entries['folders']> = [{ id: 'media', kind: 'mirror', files: 1, bytes: 1 }];
  asked = 0;
  answerTo: (message: Message) => (Message | Buffer)[] | null = () => null;
  greeting: Message = receiverHello;

  add(name: string, bytes: Buffer): void {
    this.entries.push(listedFile(name, bytes));
    this.contents.set(sha256(bytes).toString('hex'), bytes);
  }

  async nextChannel(): Promise<Channel> {
    const grant = { role: 'restore', agentId: benchAgent } as const;
    const [restorer, served] = createChannelPair({ firstGrant: grant, secondGrant: grant });
    void this.#serve(served);
    return restorer;
  }

  async #serve(channel: Channel): Promise<void> {
    await channel.send(encodeMessage(this.greeting));
    for (;;) {
      const bytes = await channel.receive();
      if (bytes === null) return;
      const message = decodeMessage(bytes);
      if (message.type !== 'refuse') this.asked += 1;
      for (const answer of this.answerTo(message) ?? this.#honest(message)) {
        await channel.send(Buffer.isBuffer(answer) ? answer : encodeMessage(answer)).catch(() => {});
      }
    }
  }

  #honest(message: Message): Message[] {
    if (message.type === 'browse') return [this.page(message)];
    if (message.type === 'want') {
      return message.items.map(({ hash, offset, length }, item) => {
        const bytes = this.contents.get(hash.toString('hex'));
        if (bytes === undefined)
          return { type: 'gone', requestId: message.requestId, item, reason: 'vanished' };
        const parts = [{ item, offset, bytes: bytes.subarray(offset, offset + length) }];
        return { type: 'content', requestId: message.requestId, parts };
      });
    }
    return [];
  }

  page({ requestId, folder, at }: Browse): Message & { type: 'entries' } {
    const entries = this.entries.toSorted((a, b) => (a.path < b.path ? -1 : 1));
    return folder === null
      ? { type: 'entries', requestId, folders: this.folders, entries: [], next: null, at: 5 }
      : { type: 'entries', requestId, folders: null, entries, next: null, at: at ?? 5 };
  }
}
