/** What waits to be served, of several folders: the folders take turns, and so do the requests of one folder. */
export class FolderTurns<Request> {
  readonly #waiting = new Map<string, Request[]>();

  push(folder: string, request: Request): void {
    const waiting = this.#waiting.get(folder);
    if (waiting === undefined) this.#waiting.set(folder, [request]);
    else waiting.push(request);
  }

  /** Takes the next one out; its folder has its turn behind all others then. */
  shift(): Request | undefined {
    for (const [folder, waiting] of this.#waiting) {
      const next = waiting.shift();
      this.#waiting.delete(folder);
      if (waiting.length > 0) this.#waiting.set(folder, waiting);
      return next;
    }
    return undefined;
  }

  /** Takes all of them out. */
  clear(): Request[] {
    const all = [...this.#waiting.values()].flat();
    this.#waiting.clear();
    return all;
  }
}
