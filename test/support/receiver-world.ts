import fs from 'node:fs';
import path from 'node:path';
import type { UnsealerSource } from '../../agent/restore/command-unsealers.ts';
import type { RestoreResult } from '../../agent/restore/run-restore.ts';
import { AgentGuards } from '../../receiver/agent-guards.ts';
import type { AgentCopies } from '../../receiver/agent-copies.ts';
import { AgentSessions } from '../../receiver/agent-sessions.ts';
import type { GuardRules } from '../../receiver/guard/guard-rules.ts';
import { expireHistory } from '../../receiver/history-expiry.ts';
import { PointBooks } from '../../receiver/point-books.ts';
import { RestoreSessions } from '../../receiver/restore-sessions.ts';
import { defaultPointRules } from '../../receiver/retention/point-retention.ts';
import { AlarmBoard } from '../../shared/alarm-board.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import type { Channel } from '../../shared/link/channel.ts';
import { createChannelPair } from './channel-pair.ts';
import { receiverCopies } from './receiver-copies.ts';
import { restoreFrom } from './restore-bench.ts';

const hourMs = 3_600_000;

/** All parts of a receiver that keep history, on a disk of its own, and a clock that goes when a test says so. */
export class ReceiverWorld {
  now = Date.parse('2026-11-01T00:30:00Z');
  readonly copies: AgentCopies;
  readonly points: PointBooks;
  readonly guards: AgentGuards;
  readonly alarms: AlarmBoard;
  readonly sessions: AgentSessions;
  readonly #restores: RestoreSessions;

  constructor(directory: string, options: { rules: GuardRules; quotaBytes: number }) {
    const data = path.join(directory, 'data');
    fs.mkdirSync(data);
    const now = (): number => this.now;
    const logger = silentLogger;
    this.copies = receiverCopies(directory, now, {
      versions: { kind: 'points', floorDays: 7 },
      quotaBytes: options.quotaBytes,
    });
    this.alarms = new AlarmBoard({ logger, now });
    const { copies, alarms } = this;
    this.guards = new AgentGuards(
      { copies, alarms, now, logger },
      { dataDirectory: data, rules: options.rules },
    );
    const clocks = { retentionNow: now, now, steadyNow: now };
    this.points = new PointBooks({ copies, dataDirectory: data, disk: nodeDisk, logger, ...clocks });
    const { guards, points } = this;
    this.sessions = new AgentSessions({ copies, points, alarms, guards, logger, now });
    this.#restores = new RestoreSessions({ copies, points, logger, now });
  }

  /** The agent's end of a link. */
  connect(agentId: DeviceId, publicKey: Buffer): Channel {
    const [agentSide, receiverSide] = createChannelPair({ firstId: agentId, firstKey: publicKey });
    this.sessions.begin(receiverSide);
    return agentSide;
  }

  /** Hours pass, with an expiry after each `step` of them. */
  async passHours(hours: number, step = 1): Promise<void> {
    for (let hour = 0; hour < hours; hour += step) {
      this.now += step * hourMs;
      await expireHistory(
        {
          points: this.points,
          copies: this.copies,
          isRead: () => false,
          guards: this.guards,
          retentionNow: () => this.now,
          storeClock: () => {},
          clockGap: () => null,
          damagedClockFile: () => null,
          alarms: this.alarms,
          logger: silentLogger,
        },
        { rulesOf: () => defaultPointRules },
        () => false,
      );
    }
  }

  /** What the receiver's owner lets a new server read. */
  async restore(
    agentId: DeviceId,
    point: string,
    { to, unsealers }: { to: string; unsealers: UnsealerSource },
  ): Promise<RestoreResult> {
    const grant = { role: 'restore', agentId } as const;
    const nextChannel = async (): Promise<Channel> => {
      const [restorer, served] = createChannelPair({ firstGrant: grant, secondGrant: grant });
      this.#restores.begin(served, {
        deviceId: agentId,
        role: 'restorer',
        grant,
        addresses: [],
        pairedAt: 0,
        lastProgressAt: null,
      });
      return restorer;
    };
    return restoreFrom({ nextChannel }, { to, point, agentId }, () => null, unsealers);
  }

  async close(): Promise<void> {
    await this.sessions.ended();
    await this.#restores.ended();
    await this.points.close();
    await this.copies.close();
  }
}
