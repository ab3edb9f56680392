import path from 'node:path';
import { AgentCopies } from '../../receiver/agent-copies.ts';
import type { ReceiverConfig } from '../../receiver/config.ts';
import { defaultPointRules } from '../../receiver/retention/point-retention.ts';
import type { Disk } from '../../shared/io/disk.ts';
import { defaultScrubOptions } from '../../receiver/scrub/scrub-state.ts';
import { homeAt } from '../../shared/io/home.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';

/** The copies of a receiver with home and data below `scratch`, without floor, quota and reserve unless told; nothing is made. */
export function receiverCopies(
  scratch: string,
  now: () => number = Date.now,
  config: Partial<ReceiverConfig> = {},
  disk: Disk = nodeDisk,
): AgentCopies {
  return new AgentCopies({
    home: homeAt(path.join(scratch, 'home'), 'receiver.yaml'),
    config: {
      data: path.join(scratch, 'data'),
      listen: [],
      advertise: [],
      freeSpaceFloor: 0,
      versions: { kind: 'simple', keep: 6, cleanoutDays: 0, floorDays: 0 },
      folderVersions: new Map(),
      points: defaultPointRules,
      scrub: defaultScrubOptions,
      quotaBytes: null,
      sealedReserve: 0,
      quotas: new Map(),
      ...config,
    },
    disk,
    logger: silentLogger,
    onRefused: () => {},
    now,
  });
}
