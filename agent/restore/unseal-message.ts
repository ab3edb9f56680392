import type { ErrorCode } from '../../shared/errors/error-table.ts';

/** What opens messages: the bytes of a private key's file, the passphrase of the folder, or gpg with its agent. */
export type UnsealWith =
  | { kind: 'key'; keyFile: Uint8Array; passphrase: string | null }
  | { kind: 'passphrase'; passphrase: string }
  | { kind: 'gpg' };

/** To the unsealing thread. `use` comes first; `pack` asks for the chunks of the pack with that hash (hexadecimal). */
export type UnsealRequest =
  | { type: 'use'; id: number; unsealWith: UnsealWith }
  | { type: 'message'; id: number; message: Uint8Array; contentBytesMax: number }
  | { type: 'pack'; id: number; hash: string; pack: Uint8Array };

/** `code`: of a CodedError; null for anything else. */
export type UnsealFailure = {
  code: ErrorCode | null;
  message: string;
  hint: string | null;
  context: Readonly<Record<string, unknown>>;
};

/** The one answer to each request. `content`: null for `use`. */
export type UnsealEvent =
  | { type: 'done'; id: number; content: Uint8Array<ArrayBuffer> | null }
  | ({ type: 'failed'; id: number } & UnsealFailure);
