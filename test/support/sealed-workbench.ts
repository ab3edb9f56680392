import fs from 'node:fs';
import path from 'node:path';
import { remoteAgentCommands } from '../../agent/agent-commands.ts';
import type { DumpResult } from '../../agent/seal/dumper.ts';
import { homeAt } from '../../shared/io/home.ts';
import { Device, type Agent } from './device.ts';
import { ifThere } from './if-there.ts';
import { createOwnerKey, type OwnerKey } from './owner-key.ts';
import type { CommandResult } from './program.ts';
import { Workbench } from './workbench.ts';

export type SealedVersion = { number: number; createdAt: string };

/** A paired agent and receiver that run, and a third device that restores; the agent seals to the owner's key. */
export class SealedWorkbench {
  readonly bench: Workbench;
  readonly owner: OwnerKey;
  /** Where what was restored goes. */
  readonly restored: string;
  readonly #restorer: Agent;
  #invitation: string | null = null;

  private constructor(bench: Workbench, owner: OwnerKey) {
    this.bench = bench;
    this.owner = owner;
    this.restored = path.join(bench.directory, 'restored');
    this.#restorer = new Device('agent', path.join(bench.directory, 'restorer'));
  }

  /** `passphraseFile`: what is sealed is sealed by that passphrase instead. */
  static async create(
    name: string,
    options: { algorithm?: 'rsa3072' | 'ed25519'; passphraseFile?: string } = {},
  ): Promise<SealedWorkbench> {
    const { algorithm, passphraseFile } = options;
    const agentInit = passphraseFile === undefined ? [] : ['--passphrase-file', passphraseFile];
    const bench = await Workbench.create(name, { receiverListens: true, agentInit });
    const owner = createOwnerKey(path.join(bench.directory, 'owner'), algorithm);
    if (passphraseFile === undefined) await bench.agent.must(['recipient', 'add', owner.publicFile]);
    await bench.startPaired();
    return new SealedWorkbench(bench, owner);
  }

  /** Adds a sealed folder that is dumped only when a test says so; `source` as the command takes it. */
  async addFolder(id: string, ...source: string[]): Promise<void> {
    const never = ['--schedule', '0 0 1 1 *'];
    await this.bench.agent.must(['folder', 'add', id, '--kind', 'sealed', ...never, ...source]);
  }

  /** Makes a version by the running agent, durable on the receiver when it resolves. */
  async dump(folder: string, copies = 1): Promise<DumpResult> {
    const commands = remoteAgentCommands(homeAt(this.bench.agent.home, 'agent.yaml'));
    const { versions } = await commands.dump({ folder, pin: null, copies, timeoutMs: 600_000 });
    const [result] = versions;
    if (result === undefined) throw new Error('no version');
    return result;
  }

  /** Runs `restore` with these arguments on a device that the receiver lets read; any exit code is given back. */
  async restore(args: readonly string[], env: Record<string, string> = {}): Promise<CommandResult> {
    return await this.onRestorer(['restore', ...args], env);
  }

  /** The same with any command that reads from a receiver. */
  async onRestorer(
    [command = '', ...args]: readonly string[],
    env: Record<string, string> = {},
  ): Promise<CommandResult> {
    this.#invitation ??= await this.bench.receiver.invite([
      '--role',
      'restore',
      '--agent',
      this.bench.agentId,
    ]);
    this.#restorer.env = env;
    return await this.#restorer.run([command, '--from', this.#invitation, ...args]);
  }

  /** Arguments by which the owner's private key is used. */
  get withKey(): string[] {
    return ['--key', this.owner.privateFile, '--key-passphrase-file', this.owner.passphraseFile];
  }

  /** An empty directory's name. */
  target(name: string): string {
    return path.join(this.restored, name);
  }

  /** Where the receiver keeps the folder. */
  held(folder: string): string {
    return path.join(this.bench.data, this.bench.agentId, folder);
  }

  /** Version records that the receiver holds, oldest first. */
  versions(folder: string): SealedVersion[] {
    const directory = path.join(this.held(folder), 'versions');
    return fs
      .readdirSync(directory)
      .filter((name) => name.endsWith('.json'))
      .toSorted()
      .flatMap((name) => ifThere(() => fs.readFileSync(path.join(directory, name), 'utf8')) ?? [])
      .map((text) => JSON.parse(text) as SealedVersion);
  }

  async dispose(): Promise<void> {
    this.owner.remove();
    await this.bench.dispose();
  }
}
