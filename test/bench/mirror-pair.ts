import fs from 'node:fs';
import path from 'node:path';
import { currentDirectory, Device, type Agent, type Receiver } from '../support/device.ts';
import { formatEndpoint, freePort } from '../support/link-proxy.ts';

const longMs = 3_700_000;

/** An agent and a receiver that are paired, set up and run by the commands that a user types; the agent has no folder yet. */
export class MirrorPair {
  readonly agent: Agent;
  readonly receiver: Receiver;
  readonly #data: string;

  private constructor(directory: string) {
    this.agent = new Device('agent', path.join(directory, 'agent-home'));
    this.receiver = new Device('receiver', path.join(directory, 'receiver-home'));
    this.#data = path.join(directory, 'data');
  }

  static async start(directory: string): Promise<MirrorPair> {
    fs.mkdirSync(directory);
    const pair = new MirrorPair(directory);
    const endpoint = formatEndpoint({ host: '127.0.0.1', port: await freePort() });
    await pair.agent.must(['init', '--yes', '--listen', endpoint, '--advertise', endpoint]);
    await pair.receiver.must(['init', '--yes', '--data', pair.#data]);
    await Promise.all([pair.agent.start(), pair.receiver.start()]);
    await pair.receiver.must(['join', await pair.agent.invite()]);
    return pair;
  }

  /** Resolves when all that is in the directory is durable on the receiver. */
  async copy(directory: string): Promise<void> {
    await this.agent.must(['folder', 'add', 'media', '--kind', 'mirror', '--path', directory]);
    await this.agent.must(['wait', '--copies', '1', '--timeout', '3600'], { timeoutMs: longMs });
  }

  /** Where the copy lies. */
  async copied(): Promise<string> {
    return currentDirectory(this.#data, await this.agent.id());
  }

  async stop(): Promise<void> {
    for (const device of [this.agent, this.receiver]) if (device.isRunning) await device.stop();
  }
}
