import type { Channel } from '../../shared/link/channel.ts';
import { decodeMessage, encodeMessage, type Message } from '../../shared/protocol/codec.ts';
import type { FileRecord, PathState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { fileState, sha256 } from './store-fixture.ts';

const contentMessageBytes = 1024 * 1024;

/** What a hostile agent announces; `content` null: deleted, or not sent. */
type Announced = { path: string; content: Buffer | null; state?: PathState };

/** A program that speaks the protocol with an agent's key and keeps everything that it hears. */
export class HostileAgent {
  readonly heard: Message[] = [];
  readonly #channel: Channel;
  readonly #sequences = new Map<string, number>();

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Greets as an agent; says these things; and listens until the receiver ends the link, or gives an answer. */
  async ask(...messages: Message[]): Promise<void> {
    await this.#greet();
    for (const message of messages) await this.#say(message);
    for (let answer = await this.#hear(); answer?.type === 'refuse';) answer = await this.#hear();
    this.close();
  }

  /** Offers folders with new indexes. */
  async offer(folders: { id: string; kind: 'mirror' | 'sealed'; indexId: Buffer }[]): Promise<void> {
    await this.#greet();
    await this.#say({ type: 'offer', folders });
    for (let waiting = folders.length; waiting > 0; waiting -= 1) await this.#until('subscribe');
  }

  /** Announces and sends, until it is `durable`, or refused (the code). */
  async bring(folder: string, indexId: Buffer, all: readonly Announced[]): Promise<string> {
    let sequence = this.#sequences.get(folder) ?? 0;
    const records = all.map(({ path, content, state }): FileRecord => {
      sequence += 1;
      const announced = state ?? (content === null ? { kind: 'deleted' } : fileState(content));
      return { path: path as RelativePath, sequence, replaces: null, state: announced };
    });
    this.#sequences.set(folder, sequence);
    const checkpoint = { through: sequence, token: sha256(`${sequence}`), isHead: true };
    await this.#say({ type: 'records', folder, indexId, records, checkpoint });
    const contents = new Map(all.map(({ path, content }) => [path, content ?? Buffer.alloc(0)]));
    for (;;) {
      const message = await this.#hear();
      if (message === null) return 'ended';
      if (message.type === 'refuse') return message.code;
      if (message.type === 'durable' && message.sequence >= sequence) return 'durable';
      if (message.type === 'want') await this.#answer(message, contents);
    }
  }

  /** Says that the index named everything. */
  async end(folder: string, indexId: Buffer): Promise<void> {
    const through = this.#sequences.get(folder) ?? 0;
    await this.#say({ type: 'indexEnd', folder, indexId, through, token: sha256(`${through}`) });
  }

  /** What the receiver makes of a restore point. */
  async announce(record: Buffer, signature: Buffer): Promise<{ held: boolean; code: string | null }> {
    await this.#say({ type: 'point', record, signature });
    return this.#until('pointTaken');
  }

  close(): void {
    this.#channel.close();
  }

  async #greet(): Promise<void> {
    const program = { program: 'mastokeep-agent', programVersion: '0.1.0' };
    await this.#say({ type: 'hello', protocolVersions: [1], ...program, deviceRole: 'agent' });
    await this.#until('hello');
  }

  async #answer(
    { requestId, items }: Message & { type: 'want' },
    contents: Map<string, Buffer>,
  ): Promise<void> {
    for (const [item, { path, offset, length }] of items.entries()) {
      const whole = contents.get(path) ?? Buffer.alloc(0);
      for (let at = offset; at < offset + length; at += contentMessageBytes) {
        const bytes = whole.subarray(at, Math.min(at + contentMessageBytes, offset + length));
        await this.#say({ type: 'content', requestId, parts: [{ item, offset: at, bytes }] });
      }
    }
  }

  async #say(message: Message): Promise<void> {
    await this.#channel.send(encodeMessage(message)).catch(() => {});
  }

  async #hear(): Promise<Message | null> {
    const bytes = await this.#channel.receive();
    if (bytes === null) return null;
    const message = decodeMessage(bytes);
    this.heard.push(message);
    return message;
  }

  async #until<Type extends Message['type']>(type: Type): Promise<Extract<Message, { type: Type }>> {
    for (;;) {
      const message = await this.#hear();
      if (message === null) throw new Error(`the link ended before ${type}`);
      if (message.type === type) return message as Extract<Message, { type: Type }>;
    }
  }
}
