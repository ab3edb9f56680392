import fs from 'node:fs';
import path from 'node:path';
import { measureProcess, type Measured } from './measured-process.ts';
import { RsyncModule } from './rsync-module.ts';

/** A copy that runs of `rsync -a --fsync` keep up to date, through a daemon on loopback. */
export class RsyncCopy {
  /** Where the copy is. */
  readonly directory: string;
  readonly #place: string;
  readonly #module: RsyncModule;

  private constructor(place: string, directory: string, module: RsyncModule) {
    this.#place = place;
    this.directory = directory;
    this.#module = module;
  }

  static async start(place: string): Promise<RsyncCopy> {
    const directory = path.join(place, 'copy');
    fs.mkdirSync(directory, { recursive: true });
    return new RsyncCopy(place, directory, await RsyncModule.start(place, directory));
  }

  /** Makes the copy like `source`, deletions too. `linkBytes`: what rsync says that it sent and received. */
  async copy(source: string): Promise<Measured & { linkBytes: number }> {
    const output = path.join(this.#place, 'stats');
    const options = ['-a', '--fsync', '--delete', '--stats'];
    const took = await measureProcess(['rsync', ...options, `${source}/`, this.#module.url], { output });
    const said = fs.readFileSync(output, 'latin1');
    const bytes = ['sent', 'received'].map((way) => {
      const found = new RegExp(`^Total bytes ${way}: ([\\d,.]+)`, 'm').exec(said)?.[1];
      if (found === undefined) throw new Error(`rsync does not say how much it ${way}: ${said}`);
      return Number(found.replaceAll(/\D/g, ''));
    });
    return { ...took, linkBytes: bytes.reduce((sum, one) => sum + one, 0) };
  }

  async stop(): Promise<void> {
    await this.#module.stop();
  }
}
