import { enums, type PartialConfig } from 'openpgp';

/**
 * What is written: nothing that GnuPG 2.2 could not read. OpenPGP.js follows the preferences of a recipient's key
 * (AES-128, SEIPDv2) unless the session key is given, so sealing gives it: see sealer.ts.
 */
export const sealingSettings: PartialConfig = {
  aeadProtect: false,
  preferredSymmetricAlgorithm: enums.symmetric.aes256,
  preferredCompressionAlgorithm: enums.compression.uncompressed,
  s2kType: enums.s2k.iterated,
  // 16 MiB of hashing (RFC 9580 §3.7.1.3)
  s2kIterationCountByte: 224,
  v6Keys: false,
  showVersion: false,
  showComment: false,
};
