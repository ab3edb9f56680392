const kib = 1024;
const mib = 1024 * kib;

/** Every limit of the wire in one place. Both sides enforce them on what they receive; what goes past is a PROTOCOL_VIOLATION. */
export const limits = {
  /** One message, header included: what a side must hold at once before it knows what came. */
  messageBytesMax: 4 * mib,
  /** Nesting of CBOR: the deepest message (entries, with its records and states) needs 5. */
  cborDepthMax: 8,
  /** Data items of one CBOR body: 1024 records with all their fields are about 25,000. */
  cborItemsMax: 65_536,
  /** Text that people read (program names, messages, hints), in bytes of UTF-8. */
  textBytesMax: 1024,
  /** Text of a symbolic link: Linux allows 4095. */
  symlinkTargetBytesMax: 4095,
  /** Protocol versions in one hello. */
  protocolVersionsMax: 16,
  /** Folders of one agent. */
  foldersMax: 64,
  /** Records up to one checkpoint, over all messages that carry them: the receiver holds them until their commit. */
  recordsPerCheckpointMax: 1024,
  /** Where a sender cuts a checkpoint's records into messages; with the largest record (8 KiB) this stays far below a message. */
  recordsMessageBytes: 1 * mib,
  /** Checkpoints of one folder that were sent and are not durable yet: three wait while one is committed. */
  checkpointsInFlightMax: 4,
  /**
   * Records that are not durable yet, over all folders of a link, each counted as the most that it may take on the wire.
   * An agent holds back a batch that might go past it.
   */
  recordBytesInFlightMax: 64 * mib,
  /** Paths in one want: 1024 longest paths fit a message. */
  wantItemsMax: 1024,
  /** Content asked for and not yet received, over a whole link: fills 2.5 Gbit/s at 100 ms, and bounds both sides' memory. */
  contentBytesInFlightMax: 32 * mib,
  /** Requests (want, wantChunks, browse) without an answer. */
  requestsInFlightMax: 256,
  /** Raw bytes of one content message; small files share one, larger ranges are split. */
  contentMessageBytesMax: 1 * mib,
  /** Parts of one content message. */
  contentPartsMax: 1024,
  /** Packs in one `missing`; more are told in several. */
  missingPacksMax: 4096,
  /** The record of one restore point: 128 folders fit several times. */
  pointRecordBytesMax: 64 * kib,
  /** A device's signature under a record: ECDSA P-256 in DER takes 72 bytes at most. */
  signatureBytesMax: 128,
  /** Restore points that were announced and are not answered yet. */
  pointsInFlightMax: 1,
  /** Files up to this size come whole; larger ones by their chunk list. */
  wholeFileBytesMax: 1 * mib,
  /** Chunks on one page of a chunk list: about 1 GiB of file. */
  chunksPageMax: 4096,
  /** Entries on one page of a restore's listing. */
  entriesPageMax: 1024,
  /** Restore points on one page of their listing: with the largest ones a receiver gives fewer. */
  pointsPageMax: 64,
  /** Paths that a listing of points names as lacking, of one restore point. */
  lackingPathsMax: 20,
  /** Paths on one page of all that a restore point lacks of a folder: 1024 longest paths fit a message. */
  lackingPageMax: 1024,
  /** A device's public key, SPKI in DER: 91 bytes for P-256. */
  publicKeyBytesMax: 256,
} as const;
