import fs from 'node:fs';
import path from 'node:path';
import { generateKeyPair } from '../../shared/sealing/key-pair.ts';
import { Device, type Agent, type Receiver } from '../support/device.ts';
import { formatEndpoint, freePort, LinkProxy } from '../support/link-proxy.ts';
import { directoryBytes } from './dump-store.ts';
import { measureProcess, type Measured } from './measured-process.ts';
import { ProcessMeter } from './process-meter.ts';

type SealedFolderPlan = { id: string; source: readonly string[] };

type Daemon = { cpuMs: number; peakBytes: number };
/** One `dump`: its wall time is that of the command, as a user waits for it. */
export type DumpMeasured = { wallMs: number; agent: Daemon; receiver: Daemon; linkBytes: number };

const passphrase = 'bench';
const checkout = path.resolve(import.meta.dirname, '../..');

/**
 * An agent with sealed folders and a receiver that is paired with it, set up and run by the commands that a user types. With
 * `countLink` the link goes through a proxy that counts its bytes, which costs some CPU time of its own.
 */
export class SealedPair {
  readonly agent: Agent;
  readonly receiver: Receiver;
  readonly #directory: string;
  #proxy: LinkProxy | null = null;
  #receiverEndpoint = '';
  #agentId = '';

  private constructor(directory: string) {
    this.#directory = directory;
    this.agent = new Device('agent', path.join(directory, 'agent-home'));
    this.receiver = new Device('receiver', path.join(directory, 'receiver-home'));
  }

  static async start(
    directory: string,
    folders: readonly SealedFolderPlan[],
    options: { countLink: boolean },
  ): Promise<SealedPair> {
    fs.mkdirSync(directory);
    const pair = new SealedPair(directory);
    await pair.#setUp(folders, options.countLink);
    await Promise.all([pair.agent.start(), pair.receiver.start()]);
    await pair.receiver.must(['join', await pair.agent.invite()]);
    return pair;
  }

  async #setUp(folders: readonly SealedFolderPlan[], countLink: boolean): Promise<void> {
    const key = await generateKeyPair({ name: 'Bench', email: 'bench@example.org' }, passphrase);
    fs.writeFileSync(path.join(this.#directory, 'public.asc'), key.publicArmored);
    fs.writeFileSync(path.join(this.#directory, 'private.asc'), key.privateArmored, { mode: 0o600 });
    fs.writeFileSync(path.join(this.#directory, 'passphrase'), passphrase, { mode: 0o600 });
    const listen = { host: '127.0.0.1', port: await freePort() };
    if (countLink) this.#proxy = await LinkProxy.start(listen);
    const init = ['init', '--yes', '--recipient', path.join(this.#directory, 'public.asc')];
    const advertised = formatEndpoint(this.#proxy?.endpoint ?? listen);
    await this.agent.must([...init, '--listen', formatEndpoint(listen), '--advertise', advertised]);
    // Dumps are made when the benchmark says so: the schedule names a day that never comes.
    for (const { id, source } of folders) {
      await this.agent.must([
        'folder',
        'add',
        id,
        '--kind',
        'sealed',
        ...source,
        '--schedule',
        neverSchedule,
      ]);
    }
    this.#receiverEndpoint = formatEndpoint({ host: '127.0.0.1', port: await freePort() });
    const data = path.join(this.#directory, 'data');
    await this.receiver.must(['init', '--yes', '--data', data, '--listen', this.#receiverEndpoint]);
    this.#agentId = await this.agent.id();
  }

  /** Makes a version; `linkBytes` are those of both directions until it is durable on the receiver, 0 where not counted. */
  async dump(folder: string): Promise<DumpMeasured> {
    const agent = new ProcessMeter(this.agent.daemon.pid);
    const receiver = new ProcessMeter(this.receiver.daemon.pid);
    const linkBytes = this.#proxy?.total ?? 0;
    const startedAt = performance.now();
    await this.agent.must(['dump', folder, '--json'], { timeoutMs: longMs });
    const wallMs = performance.now() - startedAt;
    await this.agent.must(['wait', '--copies', '1', '--timeout', '3600'], { timeoutMs: longMs });
    return {
      wallMs,
      agent: agent.read(),
      receiver: receiver.read(),
      linkBytes: (this.#proxy?.total ?? 0) - linkBytes,
    };
  }

  /** Of all that the receiver keeps of the folder. */
  bytesAtRest(folder: string): number {
    return directoryBytes(path.join(this.#directory, 'data', this.#agentId, folder));
  }

  /** Restores the latest version of the folder to `to`/`folder`, as on a server that has nothing yet. */
  async restore(folder: string, to: string, extra: readonly string[] = []): Promise<Measured> {
    const invitation = await this.receiver.invite(['--role', 'restore']);
    const home = path.join(this.#directory, 'restore-home');
    fs.rmSync(home, { recursive: true, force: true });
    const key = path.join(this.#directory, 'private.asc');
    const keyPassphrase = path.join(this.#directory, 'passphrase');
    const command = [process.execPath, path.join(checkout, 'agent', 'main.ts'), '--home', home, 'restore'];
    return measureProcess([
      ...command,
      '--from',
      invitation,
      '--agent',
      this.#agentId,
      '--folder',
      folder,
      '--key',
      key,
      '--key-passphrase-file',
      keyPassphrase,
      ...(to === '' ? [] : ['--to', to]),
      ...extra,
    ]);
  }

  async stop(): Promise<void> {
    for (const device of [this.agent, this.receiver]) if (device.isRunning) await device.stop();
    await this.#proxy?.stop();
  }
}

const neverSchedule = '0 0 29 2 1';
const longMs = 3_700_000;
