import path from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { writeFreeze } from '../../receiver/guard/freeze-file.ts';
import { notFrozen, withHit } from '../../receiver/guard/freeze-state.ts';
import type { ReceiverCommands } from '../../receiver/receiver-commands.ts';
import { isCoded } from '../../shared/errors/coded-error.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import { sealedAgentId, strangeAgentId } from '../support/sealed-store-fixture.ts';
import { makeStoppedReceiver, whileStopped } from '../support/stopped-receiver.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const agents = [sealedAgentId, strangeAgentId];
let scratch: string;

beforeEach(async () => {
  scratch = temporaryDirectory();
  await makeStoppedReceiver(
    scratch,
    agents.map((agentId) => [agentId, 'media']),
  );
});

function freeze(agentId: DeviceId, what = 'files are gone'): void {
  const hit = {
    folder: 'media',
    code: 'MASS_CHANGE',
    since: '2026-11-21T10:00:00.000Z',
    from: 0,
    what,
  } as const;
  writeFreeze(path.join(scratch, 'data', agentId, '_freeze.json'), withHit(notFrozen, hit));
}

const release = async (agent: string | null): ReturnType<ReceiverCommands['release']> =>
  whileStopped(scratch, async (commands) => commands.release({ agent }));

const codeOf = async (released: Promise<unknown>): Promise<string> =>
  released.then(
    () => 'done',
    (error: unknown) => (isCoded(error) ? error.code : String(error)),
  );

it('releases the only agent that is frozen, and says of none that there is none', async () => {
  freeze(strangeAgentId);
  expect(await release(null)).toEqual({
    agent: strangeAgentId,
    released: [
      { folder: 'media', code: 'MASS_CHANGE', since: '2026-11-21T10:00:00.000Z', message: 'files are gone' },
    ],
    frozen: false,
  });
  expect(await release(null)).toEqual({ agent: null, released: [], frozen: false });
  expect(await release(strangeAgentId)).toEqual({ agent: strangeAgentId, released: [], frozen: false });
});

it('asks which one where several are frozen, and takes the beginning of its ID', async () => {
  for (const agentId of agents) freeze(agentId);
  expect(await codeOf(release(null))).toBe('USAGE');
  expect(await codeOf(release('AAAAAAA'))).toBe('DEVICE_UNKNOWN');
  expect((await release(sealedAgentId.slice(0, 7).toLowerCase())).released).toHaveLength(1);
  expect((await release(null)).agent).toBe(strangeAgentId);
});
