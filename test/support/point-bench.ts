import fs from 'node:fs';
import path from 'node:path';
import type { AgentCopies } from '../../receiver/agent-copies.ts';
import { PointBooks } from '../../receiver/point-books.ts';
import { pointPagesOf } from '../../receiver/point-pages.ts';
import { historyOfStores, type RestorePoints } from '../../receiver/serve/restore-history.ts';
import { RestoreLeases } from '../../receiver/serve/restore-lease.ts';
import { serveRestore } from '../../receiver/serve/restore-session.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import type { Channel } from '../../shared/link/channel.ts';
import type { PointRecord } from '../../shared/sealing/point-record.ts';
import { createChannelPair } from './channel-pair.ts';
import { PointSigner } from './point-fixture.ts';
import { receiverCopies } from './receiver-copies.ts';
import { FeedFake, indexA } from './store-fixture.ts';
import { temporaryDirectory } from './temporary-directory.ts';

/** What a receiver holds of one agent with the folder `media`, its restore points, and restores that read it. */
export class PointBench {
  readonly signer: PointSigner;
  readonly scratch: string;
  readonly copies: AgentCopies;
  readonly books: PointBooks;
  readonly store: MirrorStore;
  readonly feed: FeedFake;

  private constructor(scratch: string, copies: AgentCopies, signer: PointSigner, store: MirrorStore) {
    this.scratch = scratch;
    this.copies = copies;
    this.signer = signer;
    this.store = store;
    this.feed = new FeedFake(() => store);
    const now = (): number => Date.now();
    this.books = new PointBooks({
      copies,
      dataDirectory: path.join(scratch, 'data'),
      disk: nodeDisk,
      logger: silentLogger,
      retentionNow: now,
      now,
      steadyNow: now,
    });
  }

  static async create(): Promise<PointBench> {
    const scratch = temporaryDirectory();
    fs.mkdirSync(path.join(scratch, 'data'));
    const copies = receiverCopies(scratch);
    const signer = new PointSigner();
    copies.learnKey(signer.agent, signer.publicKey.export({ type: 'spki', format: 'der' }));
    const store = await copies.open(signer.agent, 'media', 'mirror');
    return new PointBench(scratch, copies, signer, store as MirrorStore);
  }

  async close(): Promise<void> {
    await this.books.close();
    await this.copies.close();
  }

  /** Another folder of the agent, with its feed. */
  async addFolder(id: string): Promise<FeedFake> {
    const store = (await this.copies.open(this.signer.agent, id, 'mirror')) as MirrorStore;
    return new FeedFake(() => store);
  }

  /** A receiver of that agent's history; `lies` are told instead of the truth. */
  receiver(lies: (truth: RestorePoints) => Partial<RestorePoints> = () => ({})) {
    const grant = { role: 'restore', agentId: this.signer.agent } as const;
    const truth = pointPagesOf({ points: this.books, copies: this.copies }, this.signer.agent);
    const points: RestorePoints = { ...truth, ...lies(truth) };
    return {
      notes: [] as string[],
      onState: () => {},
      nextChannel: async (): Promise<Channel> => {
        const [restorer, served] = createChannelPair({ firstGrant: grant, secondGrant: grant });
        void serveRestore({
          channel: served,
          openHistory: async () => historyOfStores(new Map([['media', this.store]]), points),
          leases: new RestoreLeases(Date.now),
          now: Date.now,
          programVersion: 'test',
          logger: silentLogger,
        });
        return restorer;
      },
    };
  }

  /** A point of `media`, and of other folders. */
  async takePoint(
    number: number,
    from: number,
    to: number,
    others: PointRecord['folders'] = [],
  ): Promise<string> {
    const part = { id: 'media', kind: 'mirror' as const, index: indexA.toString('hex'), from, to };
    const point = this.signer.point(number, { folders: [part, ...others] });
    await this.books.take(this.signer.agent, point.record, point.signature);
    return point.id;
  }
}
