/** Every bound of the sealed formats; docs/sealed-format.md#limits lists the same. Sizes in bytes. */
export const sealedLimits = {
  /** Plaintext chunks in one pack. */
  packPlainBytesMax: 16 * 1024 * 1024,
  /** A pack's OpenPGP message: incompressible chunks, padding (12 %) and the session keys of all recipients. */
  packBytesMax: 24 * 1024 * 1024,
  /** The JSON text of a root message, padding included. */
  rootBytesMax: 16 * 1024 * 1024,
  /** Extents of the manifest in a root message: twice the chunks of 4 KiB in the largest manifest. */
  rootExtentsMax: 524_288,
  /** A version record. */
  versionRecordBytesMax: 16 * 1024 * 1024,
  packsPerVersionMax: 150_000,
  /** A point record. */
  pointRecordBytesMax: 64 * 1024,
  foldersPerPointMax: 128,
  pinLabelLengthMax: 100,
  recipientsMax: 32,
  /** A whole manifest. */
  manifestBytesMax: 1024 * 1024 * 1024,
  /** One line of a manifest, without its line feed. */
  manifestLineBytesMax: 1024 * 1024,
  manifestPacksPerLine: 4096,
  manifestExtentsPerLine: 4096,
  manifestEntriesMax: 1_000_000,
  /** All extents of a manifest together. */
  manifestExtentsMax: 20_000_000,
  /** One file with keys. */
  keyFileBytesMax: 1024 * 1024,
} as const;
