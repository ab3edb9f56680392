/** Received messages that wait to be taken, and takers that wait for messages. */
export class MessageQueue {
  #messages: Buffer[] = [];
  #takers: ((message: Buffer | null) => void)[] = [];
  #ended = false;
  #bytes = 0;

  /** Bytes of the messages that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Hands the message to the taker that waits longest, or keeps it. Nothing after `end`. */
  put(message: Buffer): void {
    if (this.#ended) return;
    const taker = this.#takers.shift();
    if (taker !== undefined) {
      taker(message);
      return;
    }
    this.#messages.push(message);
    this.#bytes += message.length;
  }

  /** The next message in order; null after the end. */
  async take(): Promise<Buffer | null> {
    const message = this.#messages.shift();
    if (message !== undefined) {
      this.#bytes -= message.length;
      return message;
    }
    if (this.#ended) return null;
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  /** No message comes any more; with `drop`, those that wait are forgotten. */
  end(drop: boolean): void {
    this.#ended = true;
    if (drop) {
      this.#messages = [];
      this.#bytes = 0;
    }
    for (const taker of this.#takers.splice(0)) taker(null);
  }
}
