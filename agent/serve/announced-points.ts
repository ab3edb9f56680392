/** A restore point as it goes out. `hash`: SHA-256 of the record. */
export type AnnouncedPoint = { hash: Buffer; record: Buffer; signature: Buffer };

/** The restore points that receivers are told of, in the order of their numbers. */
export type AnnouncedPoints = {
  /** The next one that the receiver has not answered; null when it need not be told of any now. */
  nextFor(receiverId: string): AnnouncedPoint | null;
  answered(receiverId: string, hash: Buffer, answer: { held: boolean; code: string | null }): void;
  /** Called when there may be a next one. Gives the function that stops it. */
  onChange(listener: () => void): () => void;
};
