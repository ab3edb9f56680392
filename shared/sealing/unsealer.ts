import { decryptKey, decryptSessionKeys, readMessage, readPrivateKeys, type PrivateKey } from 'openpgp';
import { CodedError } from '../errors/coded-error.ts';
import type { RunProgram } from '../io/run-program.ts';
import { hashInPieces } from './iterated-key.ts';
import { checkMessageFraming } from './message-framing.ts';
import { tagIntegrityProtected } from './packet-header.ts';
import { decodePack } from './pack.ts';
import { padmeLength } from './padme.ts';
import { openProtectedData } from './protected-data.ts';
import { releaseMemory } from './released-memory.ts';
import { sealedLimits } from './sealed-limits.ts';

/** Opens sealed messages: a private key, a passphrase, or the machine's own gpg with its agent. */
export type Unsealer = {
  /**
   * The whole content of a message, integrity checked, at most `contentBytesMax`.
   * @throws CodedError KEY_WRONG (not sealed to this key), PACK_CORRUPT (damaged, not our form, too large)
   */
  unsealMessage(message: Uint8Array, contentBytesMax: number): Promise<Buffer>;
};

/** The chunks of a pack. The pack's hash is the caller's to check. @throws CodedError KEY_WRONG, PACK_CORRUPT */
export async function unsealPack(pack: Uint8Array, unsealer: Unsealer): Promise<Buffer> {
  const content = await unsealer.unsealMessage(pack, packContentBytesMax);
  try {
    return decodePack(content);
  } finally {
    releaseMemory(content);
  }
}

/** Incompressible chunks grow by three bytes a block of 128 KiB and the frame's header, then by the padding. */
const packContentBytesMax = padmeLength(sealedLimits.packPlainBytesMax + 64 * 1024);

const sessionKeyBytes = 32;

/**
 * With the secret keys in a file (armored or binary; several may be there). `passphrase`: null for keys without one.
 * @throws CodedError KEY_INVALID (no secret key), KEY_WRONG (the passphrase does not open it)
 */
export async function openKeyUnsealer(
  keyFile: Uint8Array | string,
  passphrase: string | null,
): Promise<Unsealer> {
  const keys = await readSecretKeys(Buffer.from(keyFile));
  const decryptionKeys = await Promise.all(keys.map(async (key) => unlock(key, passphrase)));
  return openPgpUnsealer({ decryptionKeys }, 'no given private key opens this message');
}

/** For folders sealed in passphrase mode. */
export function openPassphraseUnsealer(passphrase: string): Unsealer {
  return openPgpUnsealer({ passwords: [passphrase] }, 'the passphrase does not open this message');
}

/**
 * Through `gpg --decrypt`, which asks its agent (and the agent the person) for keys and passphrases.
 * `args` go before ours, for example `['--homedir', DIR]`.
 */
export function openGpgUnsealer(
  run: RunProgram,
  options: { command?: string; args?: readonly string[] } = {},
): Unsealer {
  const command = options.command ?? 'gpg';
  return {
    async unsealMessage(message, contentBytesMax) {
      checkMessageFraming(message);
      const args = ['--batch', '--quiet', '--status-fd', '2', '--decrypt'];
      const ran = await run(command, [...(options.args ?? []), ...args], {
        input: message,
        outputBytesMax: contentBytesMax,
      }).catch((cause: unknown) => {
        throw new CodedError('KEY_WRONG', `${command} cannot be started`, {
          hint: 'install GnuPG, or give the private key as a file',
          cause,
        });
      });
      if (ran.exitCode === 0 && ran.stderr.includes('[GNUPG:] GOODMDC')) return ran.stdout;
      throw gpgFailure(command, ran.stderr);
    },
  };
}

function gpgFailure(command: string, stderr: string): CodedError {
  const lines = stderr.split('\n').filter((line) => line !== '');
  const words = lines.filter((line) => !line.startsWith('[GNUPG:]')).join('; ');
  // DECRYPTION_INFO comes once there is a session key
  const opened = lines.some((line) => /^\[GNUPG:\] (DECRYPTION_INFO|BADMDC)/.test(line));
  const noKey = lines.some((line) =>
    /^\[GNUPG:\] (NO_SECKEY|ERROR pkdecrypt_failed|DECRYPTION_FAILED)/.test(line),
  );
  if (noKey && !opened) {
    return new CodedError('KEY_WRONG', `${command} has no key that opens this message: ${words}`);
  }
  return new CodedError('PACK_CORRUPT', `${command} could not decrypt a message: ${words}`);
}

type OpenWith = { decryptionKeys: PrivateKey[] } | { passwords: string[] };

function openPgpUnsealer(openWith: OpenWith, wrongKey: string): Unsealer {
  return {
    async unsealMessage(message, contentBytesMax) {
      const { keyIds, dataAt, dataBodyAt } = checkMessageFraming(message);
      const refuse = (cause?: unknown): CodedError =>
        new CodedError('KEY_WRONG', wrongKey, { cause, context: { sealedTo: keyIds } });
      const sessionKeys = await openSessionKeys(message.subarray(0, dataAt), openWith).catch(
        (cause: unknown) => {
          throw refuse(cause);
        },
      );
      let failure: unknown = refuse();
      for (const sessionKey of sessionKeys) {
        try {
          return checkSize(openProtectedData(message.subarray(dataBodyAt), sessionKey), contentBytesMax);
        } catch (error) {
          failure = error;
        }
      }
      throw failure;
    },
  };
}

/** A packet of encrypted data with nothing in it: session keys are taken out of whole messages only. */
const noData = Buffer.from([0xc0 | tagIntegrityProtected, 1, 1]);

/** The AES-256 keys that `packets` give; a wrong passphrase may give some by chance. */
async function openSessionKeys(packets: Uint8Array, openWith: OpenWith): Promise<Uint8Array[]> {
  const opened = await decryptSessionKeys({
    message: await readMessage({ binaryMessage: Buffer.concat([packets, noData]) }),
    ...openWith,
  });
  return opened.flatMap(({ data, algorithm }) =>
    algorithm === 'aes256' && data.length === sessionKeyBytes ? [data] : [],
  );
}

function checkSize(content: Buffer, contentBytesMax: number): Buffer {
  if (content.length <= contentBytesMax) return content;
  throw new CodedError(
    'PACK_CORRUPT',
    `a sealed message holds ${content.length} bytes, more than the ${contentBytesMax} allowed`,
  );
}

async function readSecretKeys(bytes: Buffer): Promise<PrivateKey[]> {
  const armored = bytes.includes('-----BEGIN PGP ');
  try {
    return armored
      ? await readPrivateKeys({ armoredKeys: bytes.toString('utf8') })
      : await readPrivateKeys({ binaryKeys: bytes });
  } catch (cause) {
    const isPublic = bytes.includes('-----BEGIN PGP PUBLIC KEY BLOCK-----');
    throw new CodedError(
      'KEY_INVALID',
      isPublic
        ? 'the file holds a public key; the private one is needed'
        : 'the file holds no OpenPGP private key',
      { hint: 'export it with: gpg --armor --export-secret-keys ADDRESS', cause },
    );
  }
}

async function unlock(key: PrivateKey, passphrase: string | null): Promise<PrivateKey> {
  const fingerprint = key.getFingerprint().toUpperCase();
  const locked = key
    .getKeys()
    .some((part) => part.keyPacket.constructor !== undefined && isLocked(part.keyPacket));
  if (!locked) return key;
  if (passphrase === null) {
    throw new CodedError('KEY_WRONG', `private key ${fingerprint} is protected by a passphrase`, {
      hint: 'give its passphrase',
    });
  }
  hashInPieces(key);
  try {
    return await decryptKey({ privateKey: key, passphrase });
  } catch (cause) {
    throw new CodedError('KEY_WRONG', `the passphrase does not open private key ${fingerprint}`, { cause });
  }
}

/** Parts that are not in the file at all (`gpg --export-secret-subkeys`) need no passphrase. */
function isLocked(keyPacket: object): boolean {
  const part = keyPacket as { isDecrypted?: () => boolean | null; isDummy?: () => boolean };
  return part.isDecrypted?.() === false && part.isDummy?.() !== true;
}
