/** Answers to so many points are remembered. */
const pointsMax = 24;

/**
 * What receivers said of the pins that restore points of this agent ask for, since it was started. By the point's ID,
 * then by receiver: null where the pin is granted, otherwise why not, a code of docs/errors.md.
 */
export class PinAnswers {
  readonly #answers = new Map<string, Map<string, string | null>>();

  note(point: string, receiverId: string, code: string | null): void {
    const answers = this.#answers.get(point) ?? new Map<string, string | null>();
    this.#answers.set(point, answers.set(receiverId, code));
    const [oldest] = this.#answers.keys();
    if (this.#answers.size > pointsMax && oldest !== undefined) this.#answers.delete(oldest);
  }

  of(point: string): ReadonlyMap<string, string | null> {
    return this.#answers.get(point) ?? new Map();
  }
}
