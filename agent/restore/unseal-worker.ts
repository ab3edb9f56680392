import { createHash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { isCoded } from '../../shared/errors/coded-error.ts';
import { runProgram } from '../../shared/io/run-program.ts';
import { packName } from '../../shared/sealing/object-name.ts';
import { releaseMemory } from '../../shared/sealing/released-memory.ts';
import {
  openGpgUnsealer,
  openKeyUnsealer,
  openPassphraseUnsealer,
  unsealPack,
  type Unsealer,
} from '../../shared/sealing/unsealer.ts';
import { damagedObject } from './damaged-object.ts';
import type { UnsealEvent, UnsealFailure, UnsealRequest, UnsealWith } from './unseal-message.ts';

/** The entry of the thread that verifies packs by their hash, decrypts and decompresses them. */
function runUnsealer(port: NonNullable<typeof parentPort>): void {
  const post = (event: UnsealEvent, transfer: ArrayBuffer[] = []): void => port.postMessage(event, transfer);
  let unsealer: Unsealer | null = null;
  const open = async (request: UnsealRequest): Promise<Uint8Array<ArrayBuffer> | null> => {
    if (request.type === 'use') {
      unsealer = await openUnsealer(request.unsealWith);
      return null;
    }
    if (unsealer === null) throw new Error('there is nothing yet that messages are opened with');
    if (request.type === 'message') {
      return owned(await unsealer.unsealMessage(request.message, request.contentBytesMax));
    }
    const { hash, pack } = request;
    if (createHash('sha256').update(pack).digest('hex') !== hash) throw damagedObject(packName(hash));
    const chunks = await unsealPack(pack, unsealer);
    releaseMemory(pack);
    return owned(chunks);
  };
  port.on('message', (request: UnsealRequest) => {
    const { id } = request;
    void open(request)
      .then((content) => post({ type: 'done', id, content }, content === null ? [] : [content.buffer]))
      .catch((error: unknown) => post({ type: 'failed', id, ...describeFailure(error) }));
  });
}

async function openUnsealer(unsealWith: UnsealWith): Promise<Unsealer> {
  switch (unsealWith.kind) {
    case 'key':
      return openKeyUnsealer(unsealWith.keyFile, unsealWith.passphrase);
    case 'passphrase':
      return openPassphraseUnsealer(unsealWith.passphrase);
    case 'gpg':
      return openGpgUnsealer(runProgram);
  }
}

/** The bytes alone in their memory, so that it can be handed over: small ones share a pool. */
function owned(content: Buffer): Uint8Array<ArrayBuffer> {
  const { buffer, length } = content;
  return buffer instanceof ArrayBuffer && buffer.byteLength === length
    ? new Uint8Array(buffer)
    : new Uint8Array(content);
}

function describeFailure(error: unknown): UnsealFailure {
  if (!isCoded(error)) return { code: null, message: String(error), hint: null, context: {} };
  const { code, message, hint, context } = error;
  return { code, message, hint, context };
}

if (parentPort !== null) runUnsealer(parentPort);
