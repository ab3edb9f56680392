import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Sealer } from '../../../shared/sealing/sealer.ts';
import {
  inviteToRestore,
  type RestoreReceiver,
  startRestoreReceiver,
} from '../../support/restore-receiver.ts';
import { heldFolder } from '../../support/sealed-receiver.ts';
import {
  createSealedKeys,
  keyPassphrase,
  type SealedKeys,
  SealedRestoreBench,
} from '../../support/sealed-restore-bench.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { TerminalSession } from '../../support/terminal-session.ts';

const folderPassphrase = 'zwölf Elefanten';
const content = Buffer.from('SECRET_KEY_BASE=1\n');

let keys: SealedKeys;
let bench: SealedRestoreBench;
let receiver: RestoreReceiver;
let session: TerminalSession | null;

beforeEach(async () => {
  keys = await createSealedKeys('owner');
  session = null;
});

afterEach(async () => {
  session?.end();
  await receiver.links.stop();
  await bench.close();
});

/** Starts `restore` in a terminal, from a receiver that holds a file sealed by `sealer`. */
async function restoreInTerminal(sealer: Sealer, more: () => string[]): Promise<TerminalSession> {
  bench = new SealedRestoreBench(temporaryDirectory(), { ...keys, sealer });
  await bench.data.addVersion(
    [{ type: 'file', path: '.env.production', mode: 0o600, content }],
    '2026-11-21T08:40:00.000Z',
  );
  const { agent } = bench.data;
  const stores = new Map([[agent, new Map([['database', heldFolder(await bench.serve())]])]]);
  receiver = await startRestoreReceiver(bench.directory, stores, { listen: true });
  const from = inviteToRestore(receiver, agent, receiver.addresses[0] ?? '');
  const home = ['--home', path.join(bench.directory, 'home')];
  session = new TerminalSession('agent', [
    ...home,
    'restore',
    '--from',
    from,
    '--to',
    bench.target,
    ...more(),
  ]);
  return session;
}

const restored = (): Buffer => fs.readFileSync(path.join(bench.target, 'database/.env.production'));

it('asks for the passphrase of the private key, which the screen does not show', async () => {
  const terminal = await restoreInTerminal(keys.sealer, () => ['--key', bench.keyFile]);
  await terminal.answer(/Passphrase of the private key: /, keyPassphrase);
  expect(await terminal.exited, terminal.text).toBe(0);
  expect(restored().equals(content)).toBe(true);
  expect(terminal.text).not.toContain(keyPassphrase);
});

it('says that a typed passphrase does not open the private key, and restores nothing', async () => {
  const terminal = await restoreInTerminal(keys.sealer, () => [
    '--folder',
    'database',
    '--key',
    bench.keyFile,
  ]);
  await terminal.answer(/Passphrase of the private key: /, 'not it');
  expect(await terminal.exited).not.toBe(0);
  expect(terminal.text).toMatch(/KEY_WRONG.*the passphrase does not open private key/);
  bench.expectNothingRestored();
});

it('asks for the passphrase that the folder was sealed by', async () => {
  const terminal = await restoreInTerminal(Sealer.toPassphrase(folderPassphrase), () => []);
  await terminal.answer(/Passphrase of the sealed folder: /, folderPassphrase);
  expect(await terminal.exited, terminal.text).toBe(0);
  expect(restored().equals(content)).toBe(true);
  expect(terminal.text).not.toContain(folderPassphrase);
});
