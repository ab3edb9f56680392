import { Worker } from 'node:worker_threads';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { workerEntry } from '../../shared/io/worker-entry.ts';
import type { Unsealer } from '../../shared/sealing/unsealer.ts';
import type { UnsealEvent, UnsealFailure, UnsealRequest, UnsealWith } from './unseal-message.ts';

type Pending = { resolve: (content: Buffer | null) => void; reject: (error: Error) => void };
/** A request without its number. */
type Asked = UnsealRequest extends infer Each ? (Each extends unknown ? Omit<Each, 'id'> : never) : never;

/**
 * Opens sealed messages in a thread of its own, which gets what opens them once. The caller bounds how much is asked
 * for at the same time; answers come in any order.
 */
export class UnsealThread implements Unsealer {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #asked = 0;
  #ended: Error | null = null;

  constructor() {
    this.#worker = new Worker(workerEntry('unseal-worker', import.meta.url), {
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    });
    this.#worker.on('message', (event: UnsealEvent) => this.#take(event));
    this.#worker.on('error', (error) => this.#end(error instanceof Error ? error : new Error(String(error))));
    this.#worker.on('exit', () => this.#end(new Error('the unsealing thread ended')));
  }

  /** What messages are opened with from now on. @throws CodedError KEY_INVALID, KEY_WRONG */
  async use(unsealWith: UnsealWith): Promise<void> {
    await this.#ask({ type: 'use', unsealWith });
  }

  async unsealMessage(message: Uint8Array, contentBytesMax: number): Promise<Buffer> {
    return contentOf(await this.#ask({ type: 'message', message, contentBytesMax }));
  }

  /**
   * The chunks of the pack with that hash (hexadecimal). `pack` stands alone in its memory and is taken over.
   * @throws CodedError PACK_CORRUPT (it has another hash, or does not follow the format), KEY_WRONG
   */
  async unsealPack(hash: string, pack: Uint8Array<ArrayBuffer>): Promise<Buffer> {
    return contentOf(await this.#ask({ type: 'pack', hash, pack }, [pack.buffer]));
  }

  /** Ends the thread; what is under way is rejected. */
  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #ask(asked: Asked, transfer: ArrayBuffer[] = []): Promise<Buffer | null> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== null) {
        reject(this.#ended);
        return;
      }
      this.#asked += 1;
      this.#pending.set(this.#asked, { resolve, reject });
      this.#worker.postMessage({ ...asked, id: this.#asked } satisfies UnsealRequest, transfer);
    });
  }

  #take(event: UnsealEvent): void {
    const pending = this.#pending.get(event.id);
    if (pending === undefined) return;
    this.#pending.delete(event.id);
    if (event.type === 'failed') pending.reject(failureOf(event));
    else pending.resolve(event.content === null ? null : Buffer.from(event.content.buffer));
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

function contentOf(content: Buffer | null): Buffer {
  if (content === null) throw new Error('the unsealing thread gave no content');
  return content;
}

function failureOf({ code, message, hint, context }: UnsealFailure): Error {
  if (code === null) return new Error(message);
  return new CodedError(code, message, { context, ...(hint === null ? {} : { hint }) });
}
